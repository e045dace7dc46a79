# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The computing of a comparison, done once and billed to every plan that needs it: floating point operations and CPU time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..datasets.simulated import encode
from ..datasets.simulated_drive import SimulatedMoment
from ..datatypes import Answer, Question, Tokens
from ..encoders import Encoder
from ..metrics.flops import count_flops
from ..model import Model


@dataclass
class Meter:
    """The bill of one plan at one moment: floating point operations, CPU time [s], and the modalities that answers used."""

    flops: float = 0.0
    cpu: float = 0.0
    used: set[str] = field(default_factory=set)


class Work:
    """`forget` before the next moment. Blocks below the linked ones count in full, for a text is seldom asked twice."""

    def __init__(self, model: Model, encoders: Mapping[str, Encoder]) -> None:
        self.model = model
        self._encoders = encoders
        self._tokens: dict[str, tuple[tuple[Tokens, ...], float]] = {}
        self._answers: dict[tuple, tuple[str, float]] = {}
        self._encoder_flops: dict[tuple[str, int], float] = {}
        self._answer_flops: dict[tuple, float] = {}
        self._meter = Meter()

    def forget(self) -> None:
        """The next moment."""
        self._tokens.clear()
        self._answers.clear()

    @contextmanager
    def metered(self, meter: Meter) -> Iterator[None]:
        """CPU time spent inside is put on `meter`, and so is what is encoded."""
        self._meter = meter
        self.model.forget_texts()
        began = time.process_time()
        yield
        meter.cpu += time.process_time() - began
        self._meter = Meter()

    def encode(self, moment: SimulatedMoment, modalities: Sequence[str]) -> list[Tokens]:
        """Tokens of the modalities' frames, on the bill of the plan that is metered."""
        found = []
        for modality in modalities:
            tokens, cpu = self._encoded(moment, modality)
            self._meter.flops += self._encoder_flops.get((modality, len(tokens)), 0.0)
            self._meter.cpu += cpu
            found += tokens
        return found

    def prepare(self, moment: SimulatedMoment) -> None:
        """Encode every frame, so that no plan's CPU time holds another's."""
        for modality in self._encoders:
            self._encoded(moment, modality)

    def answer(
        self, moment: SimulatedMoment, questions: Sequence[Question], kept: Sequence[str], meter: Meter, ahead: bool
    ) -> list[str]:
        """Answers from a fixed set of modalities; `ahead` encodes also where nothing is asked."""
        self._meter = meter
        tokens = self.encode(moment, kept) if ahead or questions else []
        answers = []
        for question in questions:
            answer, cpu = self._answered(tokens, question.question)
            meter.cpu += cpu
            answers.append(answer)
            self._count(meter, question.question, tokens)
        return answers

    def count_answer(self, meter: Meter, question: str, answer: Answer, moment: SimulatedMoment) -> None:
        """Put the LLM's part of an answer of the Assistant on the bill, all blocks count_flops as linked."""
        used = {item.modality for item in answer.evidence}
        tokens = [item for modality in sorted(used) for item in self._encoded(moment, modality)[0]]
        self._count(meter, question, tokens)

    def _encoded(self, moment: SimulatedMoment, modality: str) -> tuple[tuple[Tokens, ...], float]:
        if modality not in self._tokens:
            chosen = {modality: self._encoders[modality]}
            began = time.process_time()
            tokens = encode(chosen, moment.pairs)
            self._tokens[modality] = (tokens, time.process_time() - began)
            if tokens and (modality, len(tokens)) not in self._encoder_flops:
                self._encoder_flops[modality, len(tokens)] = count_flops(lambda: encode(chosen, moment.pairs))
        return self._tokens[modality]

    def _answered(self, tokens: Sequence[Tokens], question: str) -> tuple[str, float]:
        key = (question, *(item.modality for item in tokens))
        if key not in self._answers:
            self.model.forget_texts()
            began = time.process_time()
            answer = self.model.score(question, self.model.latents(tokens)).answer
            self._answers[key] = (answer, time.process_time() - began)
        return self._answers[key]

    def _count(self, meter: Meter, question: str, tokens: Sequence[Tokens]) -> None:
        meter.used |= {item.modality for item in tokens}
        key = (len(self.model.prompt.question_ids(question)), *((item.modality, len(item.values)) for item in tokens))
        if key not in self._answer_flops:
            self.model.forget_texts()
            self._answer_flops[key] = count_flops(lambda: self.model.score(question, self.model.latents(tokens)))
        meter.flops += self._answer_flops[key]
