# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Examples for training and evaluation: questions with true answers and the tokens of the frames that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import numpy as np
from rich.progress import track

from ..datatypes import FRAME_GAP, Question
from ..encoders import Encoder
from ..rig import Rig
from ..simulator.drive import Drive, Snapshot
from ..simulator.questions.everyday_kinds import ask_kinds
from ..simulator.questions.out_of_scope import out_of_scope
from ..simulator.questions.question_maker import ask
from ..simulator.splits import scene_seed
from ..visualization.thumbnails import frame_thumbnails
from .examples import Example, encode_pairs
from .simulated_drive import DriveSensors

SETTLE = 3.0
"""Simulated time [s] before the first frame that questions are asked about."""


def simulated_examples(
    encoders: Mapping[str, Encoder],
    rig: Rig,
    split: str,
    scenes: int,
    seed: int,
    context: str = "mixed",
    each: int = 8,
    language: str = "template",
) -> list[Example]:
    """`each` questions about one moment of each of `scenes` drives of a split ("test" has held-out wordings among them).

    In everyday language there are more: half as many of the kinds that only it has, and one that is out of scope.
    """
    return [
        _ask_drive(encoders, rig, split, scene_seed(split, seed + number), context, each, language)
        for number in track(range(scenes), f"drive and encode {split} scenes")
    ]


def asked_drive(
    rig: Rig, split: str, seed: int, context: str = "mixed", each: int = 8, language: str = "template"
) -> tuple[Snapshot, Snapshot, list[Question]]:
    """One drive: snapshots FRAME_GAP before the moment and at it, and questions as in `simulated_examples`."""
    drive = Drive(seed, rig, context)
    drive.advance(SETTLE)
    before = drive.capture()
    drive.advance(FRAME_GAP)
    now = drive.capture()
    questions = ask(now.truth, rig, np.random.default_rng([seed, 1]), each, split, seed=seed, language=language)
    if language == "everyday":
        questions += ask_kinds(now.truth, rig, np.random.default_rng([seed, 2]), each // 2, split, seed=seed)
        questions += out_of_scope(Random(seed), 1, split)
    return before, now, questions


def _ask_drive(
    encoders: Mapping[str, Encoder], rig: Rig, split: str, seed: int, context: str, each: int, language: str
) -> Example:
    before, now, questions = asked_drive(rig, split, seed, context, each, language)
    frames = now.frames()
    tokens = encode_pairs(encoders, frames, before.frames())
    sensors = DriveSensors(rig)
    healths = [sensors.observe(snapshot).healths for snapshot in (before, now)][-1]
    return Example(now.truth.scene, now.truth.weather.name, tokens, tuple(questions), frame_thumbnails(frames), healths)
