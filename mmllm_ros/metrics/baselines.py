# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What questions are worth: how well one does without any sensor, and at best with some of them."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence

import numpy as np

from ..datatypes import Question


def per_type(questions: Sequence[Question], right: Sequence[float]) -> dict[str, float]:
    """Mean of `right` overall and for each question type: {"overall": .., "exist": .., ...}."""
    groups: dict[str, list[float]] = defaultdict(list)
    for question, value in zip(questions, right, strict=True):
        groups["overall"].append(value)
        groups[question.template_type].append(value)
    return {name: float(np.mean(values)) for name, values in groups.items()}


def majority(train: Sequence[Question], test: Sequence[Question]) -> list[str]:
    """For each test question the commonest training answer of its template, or of its type and hop where no template is kept."""
    commonest: dict[str, Counter] = defaultdict(Counter)
    for question in train:
        for key in _keys(question):
            commonest[key][question.answer] += 1
    return [next((commonest[key].most_common(1)[0][0] for key in _keys(question) if key in commonest), "") for question in test]


def ngram(train: Sequence[Question], test: Sequence[Question]) -> list[str]:
    """For each test question the answer of a logistic regression on its words, word pairs and triples, trained on `train`."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if len({question.answer for question in train}) < 2:
        return majority(train, test)
    grams = CountVectorizer(ngram_range=(1, 3), binary=True, min_df=2 if len(train) > 100 else 1, token_pattern=r"\S+")
    classifier = make_pipeline(grams, LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        # A floor that is a hair below its optimum is still a floor.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit([question.question for question in train], [question.answer for question in train])
    return list(classifier.predict([question.question for question in test]))


def oracle(questions: Sequence[Question], plugged: Collection[str], blind: Sequence[str] | None = None) -> list[float]:
    """1 for each question that the plugged modalities can answer by its `needs`, else whether the `blind` answer is right.

    Without `blind`, a question that they cannot answer counts 0.
    """
    guesses = blind if blind is not None else [""] * len(questions)
    return [
        1.0 if any(set(kept) <= set(plugged) for kept in question.needs) else float(guess == question.answer)
        for question, guess in zip(questions, guesses, strict=True)
    ]


def floors_and_ceilings(
    train: Sequence[Question], test: Sequence[Question], sets: Sequence[Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Accuracy overall and per type of "majority", "ngram" and the oracle of each modality set ("camera+imu", "none")."""
    floors: dict[str, Callable] = {"majority": majority, "ngram": ngram}
    guesses = {name: floor(train, test) for name, floor in floors.items()}
    rows = {
        name: per_type(test, [float(guess == question.answer) for guess, question in zip(answers, test, strict=True)])
        for name, answers in guesses.items()
    }
    return rows | {"+".join(sorted(kept)) or "none": per_type(test, oracle(test, kept, guesses["ngram"])) for kept in sets}


def _keys(question: Question) -> tuple[str, str, str]:
    return (
        f"template {question.details.get('template', question.template_type)}",
        f"{question.template_type} {question.num_hop}",
        question.template_type,
    )
