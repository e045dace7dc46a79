# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled samples: a question, its label, and the tokens of that time. Sources, checks, and the split for validation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datasets.examples import Example
from ..datasets.recorded import from_recording
from ..datatypes import BadInput, Tokens
from ..encoders import Encoder
from ..model import Model
from ..rig import Rig

VALIDATION = 5
"""One of so many scenes is held out for validation."""
LEAST = 10
"""Fewer samples, for training and validation together, are refused."""


@dataclass(frozen=True, slots=True)
class LabelledSample:
    """One labelled question. `teachers` are the modalities that gave the answer (a pseudo-label); empty = a person gave it.

    Samples of the same time share one tuple of `tokens`. Samples of different `scene` are independent.
    """

    question: str
    answer: str
    tokens: tuple[Tokens, ...]
    scene: str
    teachers: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledSource:
    """Questions with known answers, as datasets/simulated.py and datasets/recorded.py give them."""

    asked: Sequence[Example]

    @classmethod
    def recording(cls, folder: Path, encoders: Mapping[str, Encoder], rig: Rig) -> LabelledSource:
        """A folder that holds recording/ (rosbag2) and questions.json, as `mmllm simulate` writes it. Raises BadInput."""
        return cls(from_recording(encoders, folder / "recording", folder / "questions.json", rig))

    def samples(self) -> list[LabelledSample]:
        """One sample per question."""
        return [
            LabelledSample(q.question, q.answer, moment.tokens, moment.scene) for moment in self.asked for q in moment.questions
        ]


@dataclass(frozen=True)
class PseudoLabelled:
    """Questions without labels: answers of `model` with `trusted` modalities and at least `confidence` become pseudo-labels."""

    model: Model
    asked: Sequence[Example]
    trusted: tuple[str, ...]
    confidence: float

    def samples(self) -> list[LabelledSample]:
        """One sample per confident answer."""
        kept = []
        for moment in self.asked:
            latent_cache = self.model.latents([tokens for tokens in moment.tokens if tokens.modality in self.trusted])
            for question in moment.questions:
                scored = self.model.answer(question.question, latent_cache)
                if scored.confidence >= self.confidence:
                    kept.append(LabelledSample(question.question, scored.answer, moment.tokens, moment.scene, self.trusted))
        return kept


def usable(
    samples: Iterable[LabelledSample], model: Model, modalities: Collection[str]
) -> tuple[list[LabelledSample], dict[str, int]]:
    """The samples that `modalities` can be trained on, and how many others were left out, by reason."""
    kept, left_out = [], {}
    samples = list(samples)
    latest = {tokens.modality: tokens.encoder for sample in samples for tokens in sample.tokens if tokens.modality in modalities}
    encoders = {**model.encoder_revisions, **latest}
    for sample in samples:
        if reason := _fault(sample, model, encoders, modalities):
            left_out[reason] = left_out.get(reason, 0) + 1
        else:
            kept.append(sample)
    return kept, left_out


def _fault(sample: LabelledSample, model: Model, encoders: Mapping[str, str], modalities: Collection[str]) -> str:
    if missing := sorted(set(modalities) - {tokens.modality for tokens in sample.tokens}):
        return f"without {missing[0]} tokens"
    if model.answers and sample.answer not in model.answers:
        return f"with the answer {sample.answer[:40]!r}, which {model.name} cannot give"
    if words := model.prompt.unknown_words(sample.question):
        return f"with the unknown word {words[0][:40]!r}"
    for tokens in sample.tokens:
        if encoders.get(tokens.modality, tokens.encoder) != tokens.encoder:
            return f"of {tokens.modality} encoder {tokens.encoder[:40]!r}, which is not the one in use"
        if not (np.isfinite(tokens.values).all() and np.isfinite(tokens.places).all()):
            return f"with {tokens.modality} values that are not finite"
    return ""


def split(samples: Sequence[LabelledSample]) -> tuple[list[LabelledSample], list[LabelledSample]]:
    """Training and validation samples, split by scene. Raises BadInput where there are too few of either."""
    scenes = list(dict.fromkeys(sample.scene for sample in samples))
    held = set(scenes[VALIDATION - 1 :: VALIDATION]) or set(scenes[1:2])
    train = [sample for sample in samples if sample.scene not in held]
    validation = [sample for sample in samples if sample.scene in held]
    if len(samples) < LEAST or not train or not validation:
        raise BadInput(f"{len(samples)} usable samples from {len(scenes)} scenes, at least {LEAST} from 2 are needed")
    return train, validation
