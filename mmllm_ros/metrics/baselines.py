# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Baselines: the accuracy without any sensor, and the largest possible accuracy with some modalities."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

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
    """For each test question the commonest training answer of its template, or of its type and hop where no template is
    recorded."""
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
        # A baseline slightly below its optimum is accepted.
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


def _keys(question: Question) -> tuple[str, str, str]:
    return (
        f"template {question.details.get('template', question.template_type)}",
        f"{question.template_type} {question.num_hop}",
        question.template_type,
    )
