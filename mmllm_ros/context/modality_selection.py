# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Selects modalities and linked blocks: the cheapest option within the budget whose accuracy is within epsilon of the best."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .plan_table import Option, PlanTable, join_names

NOT_SELECTED = "not used:"
"""Start of the reason of a healthy modality that is not used."""
SAME_COST = 1.05
"""Of options whose costs differ by less than this factor the most accurate is taken."""
NAMED_KINDS = 3
"""A reason names at most so many kinds of question."""


@dataclass(frozen=True, slots=True)
class AnswerBudget:
    """Limits per answer, encoding included: time [s], floating point operations, memory of encoders [bytes]. 0 = no limit."""

    seconds: float = 0.0
    flops: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True, slots=True)
class Situation:
    """What a choice depends on, besides the plan table.

    Args:
        kinds: weight of each kind of question.
        context: name of light and weather.
        allowed: modalities that may be used.
        ready: allowed modalities whose newest frame is already encoded, at no further cost.
        sources: number of sensors per modality, 1 where missing.
        most_blocks: limit of linked blocks, 0 = no limit.
        any_of: an option needs one of these modalities at least; empty = no such condition.
        slowness: time on this machine divided by time on the machine where the table was measured.
    """

    kinds: Mapping[str, float]
    context: str
    allowed: Collection[str]
    ready: Collection[str] = ()
    sources: Mapping[str, int] | None = None
    most_blocks: int = 0
    any_of: Collection[str] = ()
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Modalities and linked blocks for an answer, with the expected accuracy, time [s] and floating point operations."""

    modalities: tuple[str, ...]
    linked_blocks: int
    accuracy: float
    seconds: float
    flops: float
    reasons: Mapping[str, str]
    """For each allowed modality that is not chosen, why."""


def choose(table: PlanTable, situation: Situation, budget: AnswerBudget, epsilon: float) -> Choice:
    """The cheapest option within `epsilon` of the best within the budget; the cheapest of all where none is within it."""
    candidates = [_Candidate(table, option, situation) for option in table.options if _possible(table, option, situation)]
    cheapest = min(candidates, key=lambda item: item.flops)
    affordable = [candidate for candidate in candidates if candidate.within(budget)] or [cheapest]
    best = max(candidate.accuracy for candidate in affordable)
    good = [candidate for candidate in affordable if candidate.accuracy >= best - epsilon]
    limit = SAME_COST * min(candidate.flops for candidate in good)
    chosen = max((candidate for candidate in good if candidate.flops <= limit), key=lambda item: (item.accuracy, -item.flops))
    reasons = {
        modality: _reason(modality, chosen, candidates, situation, affordable)
        for modality in situation.allowed
        if modality not in chosen.option.modalities
    }
    return Choice(chosen.option.modalities, chosen.option.linked_blocks, chosen.accuracy, chosen.seconds, chosen.flops, reasons)


def _possible(table: PlanTable, option: Option, situation: Situation) -> bool:
    # A limit below the smallest measured number of blocks leaves that number.
    deepest = max((depth for depth in table.depths if depth <= situation.most_blocks), default=table.depths[0])
    shallow = not situation.most_blocks or option.linked_blocks <= deepest
    able = not situation.any_of or set(option.modalities) & set(situation.any_of)
    return bool(shallow and able) and set(option.modalities) <= set(situation.allowed)


class _Candidate:
    """An option with its accuracy and cost in a situation."""

    def __init__(self, table: PlanTable, option: Option, situation: Situation) -> None:
        self.option = option
        weights = situation.kinds or table.question_counts
        total = sum(weights.values())
        self.accuracy = sum(w * table.accuracy(option, kind, situation.context) for kind, w in weights.items()) / total
        self.flops, self.seconds, self.memory = option.flops, option.seconds, 0.0
        for modality in option.modalities:
            encoder = table.encoders[modality]
            self.memory += encoder.memory
            if modality not in situation.ready:
                count = (situation.sources or {}).get(modality, 1)
                self.flops += count * encoder.flops
                self.seconds += count * encoder.seconds
        self.seconds *= situation.slowness

    def within(self, budget: AnswerBudget) -> bool:
        pairs = ((self.seconds, budget.seconds), (self.flops, budget.flops), (self.memory, budget.memory))
        return all(not limit or used <= limit for used, limit in pairs)


def _reason(
    modality: str, chosen: _Candidate, candidates: list[_Candidate], situation: Situation, affordable: list[_Candidate]
) -> str:
    with_it = [candidate for candidate in affordable if modality in candidate.option.modalities]
    if not with_it:
        return f"{NOT_SELECTED} it exceeds the budget"
    other = max(with_it, key=lambda candidate: candidate.accuracy)
    kinds = [kind.replace("_", " ") for kind in situation.kinds]
    what = " or ".join(kinds) if 0 < len(kinds) <= NAMED_KINDS else "usual"
    apart = any(situation.context in rows for rows in chosen.option.counts.values())
    where = f" ({situation.context})" if apart else ""
    alone = "alone " if len(chosen.option.modalities) == 1 else ""
    return (
        f"{NOT_SELECTED} {join_names(chosen.option.modalities)} {alone}answer{'s' if alone else ''} "
        f"{100 * chosen.accuracy:.0f} % of the {what} questions{where}, "
        f"with {modality} {100 * other.accuracy:.0f} %"
    )
