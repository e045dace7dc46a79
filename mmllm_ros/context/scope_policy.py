# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modality selection for one question of a model with packs: the packs that it concerns, the model's own modalities, or both."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

from ..datatypes import Health, Plan
from .modality_selection import NOT_SELECTED, Choice
from .per_question import PerQuestionPolicy
from .question_scope import QuestionScopes


@dataclass(frozen=True)
class ScopePolicy:
    """Selects packs or the model's own modalities for a question by `scopes`; `own` selects among the latter, None = all."""

    scopes: QuestionScopes
    own: PerQuestionPolicy | None = None

    def packs_for(self, question: str, modalities: Collection[str]) -> tuple[str, ...]:
        """The packs among `modalities` that the question concerns."""
        return tuple(name for name in self.scopes.concerned(question, modalities) if name in self.scopes.packs)

    def able(self, question: str) -> tuple[str, ...]:
        """The model's own modalities of which the question needs one at least, empty where that is not known."""
        return self.own.able(question) if self.own else ()

    def choose(
        self, question: str, plan: Plan, ready: Collection[str], epsilon: float, healths: Collection[Health] = ()
    ) -> Choice:
        """The modalities of `plan` for `question`; `ready`, `epsilon` and `healths` are for `own`."""
        kept = self.scopes.concerned(question, plan.available)
        packs = tuple(name for name in kept if name in self.scopes.packs)
        own = tuple(name for name in kept if name not in packs)
        choice = Choice(own, plan.linked_blocks, 0.0, 0.0, 0.0, {})
        if self.own is not None and own:
            choice = self.own.choose(question, dataclasses.replace(plan, available=own), ready, epsilon, healths)
        reason = f"{NOT_SELECTED} the question is like those of {', '.join(kept)}"
        reasons = {name: reason for name in plan.available if name not in kept}
        return dataclasses.replace(choice, modalities=(*choice.modalities, *packs), reasons={**reasons, **choice.reasons})
