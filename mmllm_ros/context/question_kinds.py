# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which kinds of question of a plan table a question is, by its words, and the modalities that can answer it.

A table of camera, lidar and IMU has the types of question_classifier.py. One of signals has the kinds of
config/signal_questions.yaml, which are found by likeness to their known wordings (question_likeness.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ..resources import config_table
from .asked_signals import asked_signals, with_similar
from .plan_table import PlanTable, join_names
from .question_classifier import SUBJECTS, classify_question
from .question_likeness import QuestionLikeness
from .question_scope import LEAST, MARGIN

REMEMBERED = 256
"""The kinds of so many different questions are remembered."""


@dataclass(frozen=True, slots=True)
class QuestionKinds:
    """What a plan table has to know of a question.

    `kinds` have weights; empty = unknown. `able` are the modalities of which one at least is needed. `company`: other modalities
    may be used beside these. `unable` is the reason for those that may not.
    """

    kinds: Mapping[str, float]
    able: tuple[str, ...]
    company: bool
    unable: str


class TypeFinder:
    """The types of questions that camera, lidar and IMU answer.

    `viewed_directions` are the directions in the cameras' view, see question_classifier.py.
    """

    def __init__(self, viewed_directions: Collection[str]) -> None:
        self._viewed = viewed_directions

    def find(self, question: str) -> QuestionKinds:
        """The one type of `question`."""
        wanted = classify_question(question)
        unable = f"it cannot tell {SUBJECTS.get(wanted.type, '')}"
        return QuestionKinds({wanted.kind(self._viewed): 1.0}, wanted.modalities, False, unable)


class SignalKindFinder:
    """The kinds of questions about signals; `needs` are the modalities that each suffice, by kind.

    finder = SignalKindFinder({"siren": ("audio",), "behind_near": ("array",)})
    finder.find("Can you hear the siren?").able        # ("audio",)
    """

    def __init__(self, needs: Mapping[str, tuple[str, ...]]) -> None:
        self._needs = needs
        wordings = config_table("signal_questions.yaml")
        self._likeness = QuestionLikeness({kind: wordings[kind]["known"] for kind in needs if kind in wordings})
        self._found = lru_cache(REMEMBERED)(self._find)

    def find(self, question: str) -> QuestionKinds:
        """The kinds whose wordings `question` resembles most, weighted by their scores.

        Where it names signals by what they show, only the kinds that these answer are considered. A question that resembles no
        wording, or that the rules of question_classifier.py give to other modalities, has no kind.
        """
        return self._found(question)

    def _find(self, question: str) -> QuestionKinds:
        scores = self._likeness.scores(question)
        named = set(asked_signals(question))
        of_named = {kind: score for kind, score in scores.items() if named & set(self._needs[kind])}
        scores = of_named or scores
        best = max(scores.values(), default=0.0)
        near = {kind: score for kind, score in scores.items() if score >= best - MARGIN}
        able = tuple(sorted({modality for kind in near for modality in self._needs[kind]}))
        others = with_similar(classify_question(question).modalities)
        astray = best < 1.0 and others and not set(able) <= set(others)
        if not of_named and (best < LEAST or astray):
            return QuestionKinds({}, (), True, "")
        return QuestionKinds(near, able, True, f"the question is one for {join_names(able)}")


def kind_finder(table: PlanTable, viewed_directions: Collection[str]) -> TypeFinder | SignalKindFinder:
    """What finds the kinds of `table` in the words of a question."""
    return SignalKindFinder(table.needs) if table.needs else TypeFinder(viewed_directions)
