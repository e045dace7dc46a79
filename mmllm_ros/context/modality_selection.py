# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rule that chooses: of all ways to answer that keep the budget and lie within epsilon of the best, the cheapest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .plan_table import Option, PlanTable, listed

LEFT_OUT = "healthy, but"
"""How the reason begins for which a modality that works is not used."""
SAME_COST = 1.05
"""Ways whose costs differ by less than this factor cost the same, and the one that is right more often is taken."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one answer may take, encoding included: time [s], floating point operations, memory of encoders [bytes]. 0 = any."""

    seconds: float = 0.0
    flops: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True, slots=True)
class Situation:
    """What a choice depends on, besides the table.

    Args:
        kinds: kinds of question with their weights; one question is one kind.
        context: name of light and weather.
        allowed: modalities that may be used.
        ready: of these, those whose newest frame is encoded already, so that it costs nothing.
        sources: sensors per modality, 1 where it does not say.
        most_blocks: most linked blocks, 0 = any.
        most_modalities: how many may be plugged at once.
        slowness: by which factor this machine is slower than the one where the table was made.
    """

    kinds: Mapping[str, float]
    context: str
    allowed: Collection[str]
    ready: Collection[str] = ()
    sources: Mapping[str, int] | None = None
    most_blocks: int = 0
    most_modalities: int = 99
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be plugged for an answer, how often it will be right, and what it costs: [s], floating point operations."""

    modalities: tuple[str, ...]
    linked_blocks: int
    accuracy: float
    seconds: float
    flops: float
    reasons: Mapping[str, str]
    """Why each allowed modality that is left out is left out."""


def choose(table: PlanTable, situation: Situation, budget: Budget, epsilon: float) -> Choice:
    """The cheapest way within `epsilon` of the best among those that keep the budget; where none does, the cheapest of all."""
    ways = [_Way(table, option, situation) for option in table.options if _possible(table, option, situation)]
    affordable = [way for way in ways if way.keeps(budget)] or [min(ways, key=lambda way: way.flops)]
    best = max(way.accuracy for way in affordable)
    good = [way for way in affordable if way.accuracy >= best - epsilon]
    limit = SAME_COST * min(way.flops for way in good)
    chosen = max((way for way in good if way.flops <= limit), key=lambda way: (way.accuracy, -way.flops))
    reasons = {
        modality: _why_not(modality, chosen, ways, situation, affordable)
        for modality in situation.allowed
        if modality not in chosen.option.modalities
    }
    return Choice(chosen.option.modalities, chosen.option.linked_blocks, chosen.accuracy, chosen.seconds, chosen.flops, reasons)


def _possible(table: PlanTable, option: Option, situation: Situation) -> bool:
    # A limit below the shallowest that was measured leaves the shallowest.
    deepest = max((depth for depth in table.depths if depth <= situation.most_blocks), default=table.depths[0])
    shallow = not situation.most_blocks or option.linked_blocks <= deepest
    few = len(option.modalities) <= situation.most_modalities
    return shallow and few and set(option.modalities) <= set(situation.allowed)


class _Way:
    """An option in a situation."""

    def __init__(self, table: PlanTable, option: Option, situation: Situation) -> None:
        self.option = option
        weights = situation.kinds or table.usual
        total = sum(weights.values())
        self.accuracy = sum(w * option.accuracy(kind, situation.context) for kind, w in weights.items()) / total
        self.flops, self.seconds, self.memory = option.flops, option.seconds, 0.0
        for modality in option.modalities:
            encoder = table.encoders[modality]
            self.memory += encoder.memory
            if modality not in situation.ready:
                count = (situation.sources or {}).get(modality, 1)
                self.flops += count * encoder.flops
                self.seconds += count * encoder.seconds
        self.seconds *= situation.slowness

    def keeps(self, budget: Budget) -> bool:
        pairs = ((self.seconds, budget.seconds), (self.flops, budget.flops), (self.memory, budget.memory))
        return all(not limit or spent <= limit for spent, limit in pairs)


def _why_not(modality: str, chosen: _Way, ways: list[_Way], situation: Situation, affordable: list[_Way]) -> str:
    with_it = [way for way in affordable if modality in way.option.modalities]
    if not with_it:
        return f"{LEFT_OUT} the budget has no room for it now"
    other = max(with_it, key=lambda way: way.accuracy)
    what = next(iter(situation.kinds)) if len(situation.kinds) == 1 else "usual"
    alone = "alone " if len(chosen.option.modalities) == 1 else ""
    return (
        f"{LEFT_OUT} not needed: {listed(chosen.option.modalities)} {alone}answer{'s' if alone else ''} "
        f"{100 * chosen.accuracy:.0f} % of the {what} questions ({situation.context}), with it {100 * other.accuracy:.0f} %"
    )
