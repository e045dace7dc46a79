# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Moments with questions that a plan table is measured on: simulated drives of a rig, or moments with every kind of signal.

The scenes are from the validation split: not used for training, and not used for reported figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..context.context_estimate import NAMES, estimate
from ..context.plan_table import ANY
from ..context.question_classifier import classify_question, viewed_directions
from ..datasets.simulated_drive import DriveSensors, SimulatedMoment
from ..datatypes import FRAME_GAP, Frame, Question
from ..rig import Rig
from ..simulator.drive import Drive
from ..simulator.questions.question_maker import ask
from ..simulator.questions.signal_questions import KINDS
from ..simulator.signal_moment import render_moment
from ..simulator.splits import scene_seed


@dataclass(frozen=True, slots=True)
class AskedMoment:
    """Frames, each with the one before it, the name of light and weather, and questions with the kind of each."""

    pairs: Sequence[tuple[Frame, Frame | None]]
    context: str
    questions: Sequence[Question]
    kinds: Sequence[str]


def drive_moments(rig: Rig, scenes: int, seed: int, each: int) -> Iterator[AskedMoment]:
    """One moment of each of `scenes` drives with `each` questions, light and weather of each name in turn.

    The context is the estimated one, which is what the robot has.
    """
    seen = viewed_directions(rig)
    for number in range(scenes):
        value = scene_seed("val", seed + number)
        moment = _moment(value, rig, NAMES[number % len(NAMES)])
        questions = ask(moment.truth, rig, np.random.default_rng([value, 2]), each, "val", seed=value)
        kinds = [classify_question(question.question).kind(seen) for question in questions]
        yield AskedMoment(moment.pairs, estimate(moment.healths).name, questions, kinds)


def _moment(seed: int, rig: Rig, context: str) -> SimulatedMoment:
    drive = Drive(seed, rig, context)
    sensors = DriveSensors(rig)
    drive.advance(2.0)
    sensors.observe(drive.capture())
    drive.advance(FRAME_GAP)
    return sensors.observe(drive.capture())


def signal_moments(needs: Mapping[str, tuple[str, ...]], scenes: int, seed: int, each: int) -> Iterator[AskedMoment]:
    """`scenes` moments with every kind of signal and at most `each` questions of the kinds in `needs`."""
    for number in range(seed, seed + scenes):
        moment = render_moment("val", number)
        known = [question for question in moment.questions if question.program in needs]
        drawn = np.random.default_rng([scene_seed("val", number), 2]).permutation(len(known))[:each]
        questions = [known[index] for index in drawn]
        pairs = [(frame, None) for frame in moment.frames()]
        yield AskedMoment(pairs, ANY, questions, [question.program for question in questions])


def signal_needs(modalities: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By kind of question the signals among `modalities` that each suffice."""
    present = {name: tuple(need for need in kind.needs if need in modalities) for name, kind in KINDS.items()}
    return {name: needs for name, needs in present.items() if needs}


def signal_sets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """No signal, each, each pair, and all."""
    ordered = sorted(modalities)
    some = [chosen for size in range(min(3, len(ordered))) for chosen in itertools.combinations(ordered, size)]
    return [*some, tuple(ordered)]
