# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Balances answers: among the questions that a scene permits, prefers those whose answer cannot be guessed from their words.

A blind baseline (a logistic regression of the answer on the words that fill a template's slots) is updated with every question
asked. A candidate is drawn in inverse proportion to a power of the probability that the baseline gives to its true answer.
"""

from __future__ import annotations

import json
import math
from functools import cache
from random import Random

from ...resources import shared_folder

_SHARPNESS = 6.0
_REJECTION = 5.0
_UNKNOWN = 0.01
_PLAUSIBLE = 0.05


class BlindBaseline:
    """Predicts answers from words alone. `weights` maps template, word and answer to a logit, `rate` is the learning rate."""

    def __init__(self, weights: dict[str, dict[str, dict[str, float]]] | None = None, rate: float = 0.1):
        self.weights = weights if weights is not None else {}
        self.rate = rate

    def learn(self, template: str, words: list[str], answer: str) -> None:
        """One step of gradient ascent on the log likelihood of the true answer."""
        table = self.weights.setdefault(template, {})
        for word in ("", *words):
            table.setdefault(word, {}).setdefault(answer, 0.0)
        probabilities = self._predict(template, words)
        for word in ("", *words):
            row = table[word]
            for other, probability in probabilities.items():
                row[other] = row.get(other, 0.0) + self.rate * ((other == answer) - probability)

    def choose(self, template: str, candidates: list[tuple[list[str], str]], random: Random) -> int | None:
        """The index of one of the candidates (words, answer), or None where the one drawn is rejected as too easy to guess."""
        predictions = [(self._predict(template, words), answer) for words, answer in candidates]
        true = [max(prediction.get(answer, _UNKNOWN), _UNKNOWN) for prediction, answer in predictions]
        index = random.choices(range(len(true)), [probability**-_SHARPNESS for probability in true])[0]
        # Where a scene permits only questions that are easy to guess, fewer are asked.
        plausible = sum(probability >= _PLAUSIBLE for probability in predictions[index][0].values())
        return index if plausible < 2 or random.random() < (plausible * true[index]) ** -_REJECTION else None

    def _predict(self, template: str, words: list[str]) -> dict[str, float]:
        table = self.weights.get(template, {})
        logits = dict(table.get("", {}))
        for word in words:
            for answer, weight in table.get(word, {}).items():
                logits[answer] = logits.get(answer, 0.0) + weight
        top = max(logits.values(), default=0.0)
        parts = {answer: math.exp(logit - top) for answer, logit in logits.items()}
        total = sum(parts.values())
        return {answer: part / total for answer, part in parts.items()}


@cache
def shipped_blind_baseline() -> BlindBaseline:
    """The baseline fitted on simulated drives by training/answer_balance.py. `ask` does not update it."""
    return BlindBaseline(json.loads((shared_folder() / "config" / "blind_baseline.json").read_text()))
