# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One question on top of the standing plan: it may leave out what it does not need, and ask for what is not plugged."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..datatypes import Plan
from .modality_selection import LEFT_OUT, Budget, Choice, Situation, choose
from .plan_table import PlanTable
from .question_classifier import classify_question


@dataclass(frozen=True)
class PerQuestionPolicy:
    """Decides by the table and rule of the standing plan. `watched` are the directions that the cameras see, see demand.py."""

    table: PlanTable
    watched: Collection[str] = ()

    def choose(self, question: str, plan: Plan, ready: Collection[str], epsilon: float) -> Choice:
        """What `question` is to be answered from under `plan`. `ready` are the modalities whose tokens are fresh."""
        asked = classify_question(question)
        kind = asked.kind(self.watched)
        known = [modality for modality in plan.available if modality in self.table.encoders]
        able = [modality for modality in known if modality in asked.able]
        if kind not in self.table.usual or not able:
            # Who knows what could help: all that is in order is asked.
            return Choice(plan.available, plan.linked_blocks, 0.0, 0.0, 0.0, {})
        situation = Situation({kind: 1.0}, plan.context.partition(",")[0], able, ready, most_blocks=plan.linked_blocks)
        choice = choose(self.table, situation, Budget(plan.budget, plan.flops_budget), epsilon)
        unable = {m: f"{LEFT_OUT} a question of type {asked.type} is none for it" for m in plan.available if m not in able}
        return Choice(
            choice.modalities, choice.linked_blocks, choice.accuracy, choice.seconds, choice.flops, {**choice.reasons, **unable}
        )
