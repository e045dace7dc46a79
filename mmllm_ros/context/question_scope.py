# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which modality packs a question concerns, by the questions that each was trained on.

Packs that never trained together disturb each other where both are connected, so a question is answered from those whose own
questions it resembles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from .question_likeness import QuestionLikeness

MARGIN = 0.05
"""Packs whose scores are less than this below the best are used too."""
LEAST = 0.15
"""Least score: a question that resembles none is not one for packs."""
OWN = ""
"""The name under which `QuestionScopes.scores` gives that of the model's own modalities."""


class QuestionScopes:
    """The questions of each pack, and those of the model's own modalities, which trained together.

    scopes = QuestionScopes({"scan": ["Is anything close ahead?"], "gas": ["Do you smell smoke?"]}, own=["Do you hear a siren?"])
    scopes.concerned("Is there anything ahead, close by?", ["audio", "scan"])     # ("scan",)
    """

    def __init__(self, packs: Mapping[str, Iterable[str]], own: Iterable[str] = ()) -> None:
        self.packs = tuple(packs)
        self._likeness = QuestionLikeness({**packs, OWN: own})

    def scores(self, question: str) -> dict[str, float]:
        """How much the question resembles those of each pack, and of OWN, from 0 to 1; 1 = it is one of them."""
        return self._likeness.scores(question)

    def concerned(self, question: str, modalities: Collection[str]) -> tuple[str, ...]:
        """Those of `modalities` that the question concerns: packs, or the model's own ones, or both where it resembles both.

        A question that resembles none concerns the model's own modalities, or all where there are none of these.
        """
        there = {name: name if name in self.packs else OWN for name in modalities}
        scores = {name: score for name, score in self.scores(question).items() if name in there.values()}
        best = max(scores.values(), default=0.0)
        if best < LEAST:
            return tuple(name for name, group in there.items() if group == OWN) or tuple(modalities)
        return tuple(name for name, group in there.items() if scores.get(group, 0.0) >= best - MARGIN)
