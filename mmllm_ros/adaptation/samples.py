# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A lesson: a question, the answer that counts as right, and what the sensors said at that moment. Three sources give lessons."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..datasets.recorded import from_recording
from ..datasets.simulated import Asked
from ..datatypes import BadInput, Tokens
from ..encoders import Encoder
from ..model import Model
from ..rig import Rig

VALIDATION = 5
"""Of so many scenes one is never trained on and decides."""
LEAST = 10
"""Fewer lessons, for training and validation together, are refused."""


@dataclass(frozen=True, slots=True)
class LabelledSample:
    """One question about one moment. `teachers` are the modalities whose answer this is; empty means that a person gave it.

    Lessons about the same moment share one tuple of `tokens`. `scene` tells moments apart that have nothing in common.
    """

    question: str
    answer: str
    tokens: tuple[Tokens, ...]
    scene: str
    teachers: tuple[str, ...] = ()


class Source(Protocol):
    """Where lessons come from: a labelled recording, the operator, or the robot's own trusted modalities."""

    def lessons(self) -> list[LabelledSample]:
        """All lessons there are now. Raises BadInput."""


@dataclass(frozen=True)
class Labelled:
    """Questions with known answers, as question_sets.py and recorded_sets.py give them."""

    asked: Sequence[Asked]

    @classmethod
    def recording(cls, folder: Path, encoders: Mapping[str, Encoder], rig: Rig) -> Labelled:
        """A folder that holds recording/ (rosbag2) and questions.json, as `mmllm simulate` writes it. Raises BadInput."""
        return cls(from_recording(encoders, folder / "recording", folder / "questions.json", rig))

    def lessons(self) -> list[LabelledSample]:
        """One lesson a question."""
        return [
            LabelledSample(q.question, q.answer, moment.tokens, moment.scene) for moment in self.asked for q in moment.questions
        ]


@dataclass(frozen=True)
class SelfTaught:
    """Questions without answers: what `trusted` modalities of `model` answer with at least `confidence` counts as right."""

    model: Model
    asked: Sequence[Asked]
    trusted: tuple[str, ...]
    confidence: float

    def lessons(self) -> list[LabelledSample]:
        """One lesson for each confident answer."""
        kept = []
        for moment in self.asked:
            bank = self.model.latents([tokens for tokens in moment.tokens if tokens.modality in self.trusted])
            for question in moment.questions:
                scored = self.model.answer(question.question, bank)
                if scored.confidence >= self.confidence:
                    kept.append(LabelledSample(question.question, scored.answer, moment.tokens, moment.scene, self.trusted))
        return kept


def usable(
    lessons: Iterable[LabelledSample], model: Model, modalities: Collection[str]
) -> tuple[list[LabelledSample], dict[str, int]]:
    """The lessons that `modalities` can learn from, and why how many others were left out."""
    kept, left_out = [], {}
    lessons = list(lessons)
    newest = {tokens.modality: tokens.encoder for lesson in lessons for tokens in lesson.tokens if tokens.modality in modalities}
    encoders = {**model.encoder_revisions, **newest}
    for lesson in lessons:
        if reason := _fault(lesson, model, encoders, modalities):
            left_out[reason] = left_out.get(reason, 0) + 1
        else:
            kept.append(lesson)
    return kept, left_out


def _fault(lesson: LabelledSample, model: Model, encoders: Mapping[str, str], modalities: Collection[str]) -> str:
    if missing := sorted(set(modalities) - {tokens.modality for tokens in lesson.tokens}):
        return f"without {missing[0]} tokens"
    if model.answers and lesson.answer not in model.answers:
        return f"with the answer {lesson.answer[:40]!r}, which {model.name} cannot give"
    if words := model.prompt.unknown_words(lesson.question):
        return f"with the unknown word {words[0][:40]!r}"
    for tokens in lesson.tokens:
        if encoders.get(tokens.modality, tokens.encoder) != tokens.encoder:
            return f"of {tokens.modality} encoder {tokens.encoder[:40]!r}, which is not the one in use"
        if not (np.isfinite(tokens.values).all() and np.isfinite(tokens.places).all()):
            return f"with {tokens.modality} values that are not finite"
    return ""


def split(lessons: Sequence[LabelledSample]) -> tuple[list[LabelledSample], list[LabelledSample]]:
    """Training and validation lessons, by scene. Raises BadInput where there are too few of either."""
    scenes = list(dict.fromkeys(lesson.scene for lesson in lessons))
    held = set(scenes[VALIDATION - 1 :: VALIDATION]) or set(scenes[1:2])
    train = [lesson for lesson in lessons if lesson.scene not in held]
    validation = [lesson for lesson in lessons if lesson.scene in held]
    if len(lessons) < LEAST or not train or not validation:
        raise BadInput(f"{len(lessons)} usable lessons from {len(scenes)} scenes, at least {LEAST} from 2 are needed")
    return train, validation
