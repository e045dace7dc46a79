# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cost accounting for comparisons: each computation runs once, its FLOPs and CPU time count for every plan that needs it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..datasets.examples import encode
from ..datasets.simulated_drive import SimulatedMoment
from ..datatypes import Answer, Question, Tokens
from ..encoders import Encoder
from ..metrics.flops import count_flops
from ..model import Model


@dataclass
class PlanCost:
    """Cost of one plan at one moment: floating point operations, CPU time [s], and the modalities that its answers used."""

    flops: float = 0.0
    cpu: float = 0.0
    used: set[str] = field(default_factory=set)


class CostAccounting:
    """Encodes and answers with a cache of one moment; call `clear` before the next one.

    Blocks below the linked ones count in full, because a robot is seldom asked the same text twice.
    """

    def __init__(self, model: Model, encoders: Mapping[str, Encoder]) -> None:
        self.model = model
        self._encoders = encoders
        self._tokens: dict[str, tuple[tuple[Tokens, ...], float]] = {}
        self._answers: dict[tuple, tuple[str, float]] = {}
        self._encoder_flops: dict[tuple[str, int], float] = {}
        self._answer_flops: dict[tuple, float] = {}
        self._cost = PlanCost()

    def clear(self) -> None:
        """Drop the cached tokens and answers of the moment."""
        self._tokens.clear()
        self._answers.clear()

    @contextmanager
    def measured(self, cost: PlanCost) -> Iterator[None]:
        """Add the CPU time inside the context, and the cost of what is encoded, to `cost`."""
        self._cost = cost
        self.model.clear_text_cache()
        began = time.process_time()
        yield
        cost.cpu += time.process_time() - began
        self._cost = PlanCost()

    def encode(self, moment: SimulatedMoment, modalities: Sequence[str]) -> list[Tokens]:
        """Tokens of the modalities' frames; their cost is added to the plan that is measured."""
        found = []
        for modality in modalities:
            tokens, cpu = self._encoded(moment, modality)
            self._cost.flops += self._encoder_flops.get((modality, len(tokens)), 0.0)
            self._cost.cpu += cpu
            found += tokens
        return found

    def prepare(self, moment: SimulatedMoment) -> None:
        """Encode every frame in advance, so that the CPU time of a plan contains no encoding of another plan."""
        for modality in self._encoders:
            self._encoded(moment, modality)

    def answer(
        self, moment: SimulatedMoment, questions: Sequence[Question], kept: Sequence[str], cost: PlanCost, ahead: bool
    ) -> list[str]:
        """Answers from a fixed set of modalities; with `ahead`, frames are encoded even without a question."""
        self._cost = cost
        tokens = self.encode(moment, kept) if ahead or questions else []
        answers = []
        for question in questions:
            answer, cpu = self._answered(tokens, question.question)
            cost.cpu += cpu
            answers.append(answer)
            self._count(cost, question.question, tokens)
        return answers

    def count_answer(self, cost: PlanCost, question: str, answer: Answer, moment: SimulatedMoment) -> None:
        """Add the LLM's FLOPs for an answer of the Assistant to `cost`, all blocks counted as linked."""
        used = {item.modality for item in answer.evidence}
        tokens = [item for modality in sorted(used) for item in self._encoded(moment, modality)[0]]
        self._count(cost, question, tokens)

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
            self.model.clear_text_cache()
            began = time.process_time()
            answer = self.model.score(question, self.model.latents(tokens)).answer
            self._answers[key] = (answer, time.process_time() - began)
        return self._answers[key]

    def _count(self, cost: PlanCost, question: str, tokens: Sequence[Tokens]) -> None:
        cost.used |= {item.modality for item in tokens}
        key = (len(self.model.prompt.question_ids(question)), *((item.modality, len(item.values)) for item in tokens))
        if key not in self._answer_flops:
            self.model.clear_text_cache()
            self._answer_flops[key] = count_flops(lambda: self.model.score(question, self.model.latents(tokens)))
        cost.flops += self._answer_flops[key]
