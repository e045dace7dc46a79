# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about recorded frames: nuScenes with a NuScenes-QA file, or a rosbag with a question file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from rich.progress import track

from ..context.sensor_monitor import SensorMonitor
from ..datatypes import NANOSECONDS, BadInput, Frame, Question, Tokens
from ..encoders import Encoder
from ..io.nuscenes import NuScenes
from ..io.question_files import read_questions
from ..io.rosbag import Recording
from ..rig import Rig
from ..visualization.thumbnails import frame_thumbnails
from .examples import Example, encode, encode_pairs

MAX_AGE = 1.5
"""Frames older than this [s] are not used, as in the nodes."""


def from_nuscenes(encoders: Mapping[str, Encoder], folder: Path, questions: Path) -> list[Example]:
    """Examples from the keyframes of a nuScenes folder and a NuScenes-QA file. Raises BadInput."""
    return [
        Example(
            moment.scene,
            moment.context,
            encode_pairs(encoders, moment.frames, moment.previous),
            tuple(asked),
            frame_thumbnails(moment.frames),
        )
        for moment, asked in track(list(NuScenes(folder).join(read_questions(questions))), "read and encode keyframes")
    ]


def from_recording(encoders: Mapping[str, Encoder], bag: Path, questions: Path, rig: Rig) -> list[Example]:
    """Examples from a recording and questions whose `sample_token` is the stamp [ns] of a frame. Raises BadInput."""
    moments = [(stamp, tuple(asked)) for stamp, asked in groupby(sorted(read_questions(questions), key=_stamp), key=_stamp)]
    if not moments:
        raise BadInput(f"{questions} holds no questions")
    monitors: dict[tuple[str, str], SensorMonitor] = {}
    latest: dict[tuple[str, str], tuple[Frame, Frame | None]] = {}
    done: list[Example] = []
    for frame in Recording(bag).frames(rig):
        while len(done) < len(moments) and frame.stamp > moments[len(done)][0]:
            done.append(_example(encoders, latest, *moments[len(done)]))
        source = (frame.modality, frame.source)
        latest[source] = monitors.setdefault(source, SensorMonitor(*source)).add(frame)
    return done + [_example(encoders, latest, *moment) for moment in moments[len(done) :]]


def _stamp(question: Question) -> int:
    try:
        return int(question.sample_token)
    except ValueError as error:
        raise BadInput(f"sample_token {question.sample_token!r} is not the stamp [ns] of a frame") from error


def _example(
    encoders: Mapping[str, Encoder],
    latest: Mapping[tuple[str, str], tuple[Frame, Frame | None]],
    stamp: int,
    questions: Sequence[Question],
) -> Example:
    fresh = [pair for pair in latest.values() if stamp - pair[0].stamp <= MAX_AGE * NANOSECONDS]
    tokens: tuple[Tokens, ...] = encode(encoders, fresh)
    scene = str(questions[0].seed or math.floor(stamp / (20 * NANOSECONDS)))
    pictures = frame_thumbnails([frame for frame, _ in fresh])
    return Example(scene, questions[0].details.get("context", "recorded"), tokens, tuple(questions), pictures)
