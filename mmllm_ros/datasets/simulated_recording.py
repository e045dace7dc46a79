# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated drives on disk: a recording, its questions, and the ground truth, split by scene.

OUT/train/recording/    rosbag2 (mcap), standard messages
OUT/train/questions.json    NuScenes-QA's form; sample_token is the stamp [ns] of the frame in the recording
OUT/train/scene.json    seeds of the split, and the truth at every frame
OUT/val/..., OUT/test/...
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from ..datatypes import FRAME_GAP, NANOSECONDS, BadInput, Frame, Question
from ..io.frames import shifted
from ..io.question_files import write_questions
from ..io.recorded_rig import SCENES
from ..io.rosbag import Recorder
from ..rig import Rig
from ..simulator.drive import Drive, Snapshot
from ..simulator.questions.answer_balance import BlindBaseline
from ..simulator.questions.question_maker import ask
from ..simulator.splits import scene_seed
from ..simulator.truth import SceneTruth

FRAMES_PER_SCENE = 10
PAUSE = 10
"""Time between scenes of a recording [s], so that encoders do not pair frames of different scenes."""
QUESTIONS_PER_FRAME = 6
_SPLIT_OF = ("train",) * 8 + ("val", "test")
"""Of ten scenes, eight are for training, one for validation, one for the test."""


def simulate(
    out: Path, frames: int, seed: int, rig: Rig, context: str, bag: bool = True, on_frame: Callable[[], None] = lambda: None
) -> dict[str, int]:
    """Write `frames` frames below `out` and return how many questions each split has. Same arguments, same bytes.

    Scenes are numbered from `seed` on in each split. Without `bag` there is no recording. Raises BadInput.
    """
    if out.exists() and any(out.iterdir()):
        raise BadInput(f"folder {out} is not empty")
    scenes = [min(FRAMES_PER_SCENE, frames - first) for first in range(0, frames, FRAMES_PER_SCENE)]
    counts = {}
    for split in dict.fromkeys(_SPLIT_OF):
        lengths = [length for number, length in enumerate(scenes) if _SPLIT_OF[number % len(_SPLIT_OF)] == split]
        if lengths:
            counts[split] = _write_split(out / split, split, lengths, seed, rig, context, bag, on_frame)
    return counts


def _write_split(
    folder: Path, split: str, lengths: list[int], seed: int, rig: Rig, context: str, bag: bool, on_frame: Callable[[], None]
) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    seeds = [scene_seed(split, seed + number) for number in range(len(lengths))]
    rng = np.random.default_rng([seed, len(lengths)])
    baseline = BlindBaseline()
    truths: list[SceneTruth] = []
    questions: list[Question] = []
    with Recorder(folder / "recording", rig) if bag else nullcontext() as recorder:
        for snapshot, scene in _snapshots(seeds, lengths, rig, context):
            truths.append(snapshot.truth)
            questions += ask(snapshot.truth, rig, rng, QUESTIONS_PER_FRAME, split, baseline=baseline, seed=scene)
            if recorder:
                recorder.write(_frames(snapshot))
            on_frame()
    write_questions(folder / "questions.json", questions, split)
    content = {"split": split, "rig": rig.name, "context": context, "seeds": seeds, "truth": [t.to_json() for t in truths]}
    (folder / SCENES).write_text(json.dumps(content) + "\n")
    return len(questions)


def _snapshots(seeds: list[int], lengths: list[int], rig: Rig, context: str) -> Iterator[tuple[Snapshot, int]]:
    """The snapshots of all scenes in order, in recording time, each with the seed of its scene."""
    shift = 0
    for seed, length in zip(seeds, lengths, strict=True):
        drive = Drive(seed, rig, context)
        for _ in range(length):
            yield _shifted(drive.capture(), shift), seed
            drive.advance(FRAME_GAP)
        shift += round((drive.seconds + PAUSE) * NANOSECONDS)


def _shifted(snapshot: Snapshot, shift: int) -> Snapshot:
    stamp = snapshot.truth.stamp + shift
    return dataclasses.replace(
        snapshot,
        cameras=tuple(shifted(frame, shift) for frame in snapshot.cameras),
        lidar=snapshot.lidar and shifted(snapshot.lidar, shift),
        imu=snapshot.imu and shifted(snapshot.imu, shift),
        truth=dataclasses.replace(snapshot.truth, stamp=stamp, token=str(stamp)),
    )


def _frames(snapshot: Snapshot) -> list[Frame]:
    return [frame for frame in (snapshot.imu, *snapshot.cameras, snapshot.lidar) if frame]
