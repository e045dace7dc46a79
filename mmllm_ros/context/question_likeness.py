# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much a question resembles known questions, by the trigrams of their letters (TF-IDF)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache, cached_property

from ..resources import config_table

GRAM = 3
"""Characters of a gram."""
NEAREST = 3
"""A score is the mean similarity to so many questions."""


class QuestionLikeness:
    """Known questions by name.

    likeness = QuestionLikeness({"scan": ["Is anything close ahead?"], "gas": ["Do you smell smoke?", "Is there gas?"]})
    likeness.scores("Can you smell smoke?")     # "gas" above "scan"

    A score depends on the questions of one name only: adding another name changes no score.
    """

    def __init__(self, questions: Mapping[str, Iterable[str]]) -> None:
        texts = {name: {_plain(text) for text in known} for name, known in questions.items()}
        self._texts = {name: known for name, known in texts.items() if known}

    @cached_property
    def _vectors(self) -> dict[str, list[dict[str, float]]]:
        return {name: [_vector(text) for text in sorted(texts)] for name, texts in self._texts.items()}

    def scores(self, question: str) -> dict[str, float]:
        """How much the question resembles those of each name, from 0 to 1; 1 = it is one of them."""
        text = _plain(question)
        vector = _vector(text)
        found = {}
        for name, others in self._vectors.items():
            nearest = sorted((sum(x * other.get(gram, 0.0) for gram, x in vector.items()) for other in others), reverse=True)
            found[name] = 1.0 if text in self._texts[name] else sum(nearest[:NEAREST]) / len(nearest[:NEAREST])
        return found


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _grams(text: str) -> Counter[str]:
    padded = f" {text} "
    return Counter(padded[at : at + GRAM] for at in range(len(padded) - GRAM + 1))


def _vector(text: str) -> dict[str, float]:
    """The weights of the grams of a text, of length 1: frequent grams of questions weigh little (TF-IDF)."""
    counts, (known, frequency) = _grams(text), _document_frequency()
    weights = {g: (1 + math.log(n)) * (1 + math.log((known + 1) / (frequency[g] + 1))) for g, n in counts.items()}
    length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {gram: weight / length for gram, weight in weights.items()}


def signal_questions() -> list[str]:
    """The wordings of questions about signals that models are trained on."""
    return [text for wordings in config_table("signal_questions.yaml").values() for text in wordings["known"]]


@cache
def _document_frequency() -> tuple[int, Counter[str]]:
    """The number of shipped questions, and in how many of them each gram is. No pack changes it."""
    texts = signal_questions()
    return len(texts), Counter(gram for text in texts for gram in _grams(_plain(text)))
