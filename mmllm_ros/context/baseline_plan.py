# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What to keep plugged for a mix of questions: what enough of them need. The others have it encoded when they ask."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .modality_selection import LEFT_OUT, Budget, Choice, Situation, choose
from .plan_table import PlanTable

NEEDED = 0.3
"""A modality that fewer of the questions need is not kept plugged for them."""


def keep_plugged(table: PlanTable, situation: Situation, budget: Budget, epsilon: float) -> Choice:
    """Each kind of question by itself, as it will be answered, and of all modalities those that NEEDED of the questions use.

    Accuracy and costs are means over the questions of `situation.kinds`.
    """
    weights = situation.kinds or table.usual
    total = sum(weights.values()) or 1.0
    choices = {kind: choose(table, dataclasses.replace(situation, kinds={kind: 1.0}), budget, epsilon) for kind in weights}

    def mean(value: str) -> float:
        return sum(weight * getattr(choices[kind], value) for kind, weight in weights.items()) / total

    shares = {
        modality: sum(weight for kind, weight in weights.items() if modality in choices[kind].modalities) / total
        for modality in situation.allowed
    }
    kept = tuple(sorted(modality for modality, share in shares.items() if share >= NEEDED))
    blocks = max((choice.linked_blocks for choice in choices.values()), default=0)
    reasons = {modality: _sentence(shares[modality], situation.context) for modality in shares if modality not in kept}
    return Choice(kept or _most(shares), blocks, mean("accuracy"), mean("seconds"), mean("flops"), reasons)


def _most(shares: Mapping[str, float]) -> tuple[str, ...]:
    return (max(sorted(shares), key=shares.__getitem__),) if any(shares.values()) else ()


def _sentence(share: float, context: str) -> str:
    return f"{LEFT_OUT} {100 * share:.0f} % of the usual questions ({context}) need it: it is encoded when they ask"
