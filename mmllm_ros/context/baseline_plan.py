# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The baseline plan: which modalities stay plugged for a mix of questions. Other modalities are encoded on request."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .modality_selection import NOT_SELECTED, AnswerBudget, Choice, Situation, choose
from .plan_table import PlanTable

MIN_SHARE = 0.3
"""A modality stays plugged if at least this share of the questions needs it."""


def baseline_choice(table: PlanTable, situation: Situation, budget: AnswerBudget, epsilon: float) -> Choice:
    """Choose for each kind of question by itself, then plug the modalities that MIN_SHARE of the questions use.

    Accuracy and costs are means over the questions of `situation.kinds`.
    """
    weights = situation.kinds or table.question_counts
    total = sum(weights.values()) or 1.0
    choices = {kind: choose(table, dataclasses.replace(situation, kinds={kind: 1.0}), budget, epsilon) for kind in weights}

    def mean(value: str) -> float:
        return sum(weight * getattr(choices[kind], value) for kind, weight in weights.items()) / total

    shares = {
        modality: sum(weight for kind, weight in weights.items() if modality in choices[kind].modalities) / total
        for modality in situation.allowed
    }
    kept = tuple(sorted(modality for modality, share in shares.items() if share >= MIN_SHARE))
    blocks = max((choice.linked_blocks for choice in choices.values()), default=0)
    reasons = {modality: _sentence(shares[modality], situation.context) for modality in shares if modality not in kept}
    return Choice(kept or _largest(shares), blocks, mean("accuracy"), mean("seconds"), mean("flops"), reasons)


def _largest(shares: Mapping[str, float]) -> tuple[str, ...]:
    return (max(sorted(shares), key=shares.__getitem__),) if any(shares.values()) else ()


def _sentence(share: float, context: str) -> str:
    return f"{NOT_SELECTED} {100 * share:.0f} % of the usual questions ({context}) need it; it is encoded on request"
