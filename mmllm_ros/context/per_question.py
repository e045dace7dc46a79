# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modality selection for one question: a subset of the plan's modalities, or one that is unplugged and encoded on request."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..datatypes import Plan
from .modality_selection import NOT_SELECTED, AnswerBudget, Choice, Situation, choose
from .plan_table import PlanTable
from .question_classifier import SUBJECTS, classify_question


@dataclass(frozen=True)
class PerQuestionPolicy:
    """Selects by the plan table. `viewed_directions` are the directions in the cameras' view, see question_classifier.py."""

    table: PlanTable
    viewed_directions: Collection[str] = ()

    def choose(self, question: str, plan: Plan, ready: Collection[str], epsilon: float) -> Choice:
        """The modalities for `question` under `plan`. `ready` are the modalities with recent tokens."""
        wanted = classify_question(question)
        kind = wanted.kind(self.viewed_directions)
        known = [modality for modality in plan.available if modality in self.table.encoders]
        able = [modality for modality in known if modality in wanted.modalities]
        # Modalities that the table does not know, such as those that joined later, are used where they can answer.
        more = tuple(m for m in plan.available if m not in self.table.encoders and m in wanted.modalities)
        if kind not in self.table.question_counts or not able:
            # Nothing is known about this kind of question: every available modality is used.
            return Choice(plan.available, plan.linked_blocks, 0.0, 0.0, 0.0, {})
        # Whatever the budget, a question that a healthy sensor can answer is not answered without one.
        context = plan.context.partition(",")[0]
        situation = Situation({kind: 1.0}, context, able, ready, most_blocks=plan.linked_blocks, any_of=able)
        choice = choose(self.table, situation, AnswerBudget(plan.budget, plan.flops_budget), epsilon)
        unable = {m: f"{NOT_SELECTED} it cannot tell {SUBJECTS[wanted.type]}" for m in plan.available if m not in (*able, *more)}
        return Choice(
            (*choice.modalities, *more),
            choice.linked_blocks,
            choice.accuracy,
            choice.seconds,
            choice.flops,
            {**choice.reasons, **unable},
        )
