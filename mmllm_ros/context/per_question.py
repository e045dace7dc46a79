# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modality selection for one question: a subset of the plan's modalities, or one that is unplugged and encoded on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from ..datatypes import Health, Plan
from .modality_selection import NOT_SELECTED, AnswerBudget, Choice, Situation, choose
from .plan_table import PlanTable, slowness
from .question_kinds import SignalKindFinder, TypeFinder, kind_finder


@dataclass(frozen=True)
class PerQuestionPolicy:
    """Selects by the plan table. `viewed_directions` are the directions in the cameras' view, see question_classifier.py."""

    table: PlanTable
    viewed_directions: Collection[str] = ()

    @cached_property
    def _finder(self) -> TypeFinder | SignalKindFinder:
        return kind_finder(self.table, self.viewed_directions)

    def able(self, question: str) -> tuple[str, ...]:
        """The modalities of which the question needs one at least, empty where that is not known."""
        return self._finder.find(question).able

    def choose(
        self, question: str, plan: Plan, ready: Collection[str], epsilon: float, healths: Collection[Health] = ()
    ) -> Choice:
        """The modalities for `question` under `plan`. `ready` are the modalities with recent tokens; `healths`, those of the
        sensors, say how many there are and how fast they are encoded here."""
        asked = self._finder.find(question)
        known = [modality for modality in plan.available if modality in self.table.encoders]
        able = [modality for modality in known if modality in asked.able]
        # Modalities that the table does not know, such as those that joined later, are used where they can answer.
        more = tuple(m for m in plan.available if m not in self.table.encoders and m in asked.able)
        if not asked.kinds or not set(asked.kinds) <= set(self.table.question_counts) or not able:
            # Nothing is known about this kind of question: every available modality is used.
            return Choice(plan.available, plan.linked_blocks, 0.0, 0.0, 0.0, {})
        # Whatever the budget, a question that a healthy sensor can answer is not answered without one.
        context = plan.context.partition(",")[0]
        allowed = known if asked.company else able
        situation = Situation(
            asked.kinds,
            context,
            allowed,
            ready,
            sources=Counter(health.modality for health in healths),
            most_blocks=plan.linked_blocks,
            any_of=able,
            slowness=slowness(self.table, healths),
        )
        choice = choose(self.table, situation, AnswerBudget(plan.budget, plan.flops_budget), epsilon)
        unable = {m: f"{NOT_SELECTED} {asked.unable}" for m in plan.available if m not in (*allowed, *more)}
        return Choice(
            (*choice.modalities, *more),
            choice.linked_blocks,
            choice.accuracy,
            choice.seconds,
            choice.flops,
            {**choice.reasons, **unable},
        )
