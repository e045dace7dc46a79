# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps answers hard to guess: among the questions a scene permits, ask those whose answer their words do not give away.

A blind reader (a logistic regression of the answer on the words that fill a template's slots) learns from every question
asked; a candidate is drawn in inverse proportion to a power of the probability that the reader gives to its true answer.
"""

from __future__ import annotations

import json
import math
from functools import cache
from random import Random

from ...resources import shared_folder

_SHARPNESS = 6.0
_RELUCTANCE = 5.0
_UNKNOWN = 0.01
_PLAUSIBLE = 0.05


class BlindBaseline:
    """Predicts answers from words alone. `weights` maps template, word and answer to a logit, `rate` is how fast it learns."""

    def __init__(self, weights: dict[str, dict[str, dict[str, float]]] | None = None, rate: float = 0.1):
        self.weights = weights if weights is not None else {}
        self.rate = rate

    def learn(self, template: str, words: list[str], answer: str) -> None:
        """One step of gradient ascent on the log likelihood of the true answer."""
        table = self.weights.setdefault(template, {})
        for word in ("", *words):
            table.setdefault(word, {}).setdefault(answer, 0.0)
        guess = self._guess(template, words)
        for word in ("", *words):
            row = table[word]
            for other, held in guess.items():
                row[other] = row.get(other, 0.0) + self.rate * ((other == answer) - held)

    def choose(self, template: str, candidates: list[tuple[list[str], str]], random: Random) -> int | None:
        """The index of one of the candidates (words, answer), or None where the one drawn had better not be asked."""
        guesses = [(self._guess(template, words), answer) for words, answer in candidates]
        held = [max(guess.get(answer, _UNKNOWN), _UNKNOWN) for guess, answer in guesses]
        index = random.choices(range(len(held)), [probability**-_SHARPNESS for probability in held])[0]
        # A scene may offer only what is easy to guess; other scenes will offer the rest.
        plausible = sum(probability >= _PLAUSIBLE for probability in guesses[index][0].values())
        return index if plausible < 2 or random.random() < (plausible * held[index]) ** -_RELUCTANCE else None

    def _guess(self, template: str, words: list[str]) -> dict[str, float]:
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
    """The reader that learned on simulated drives (training/balance.py); it learns no more: `ask` has no memory."""
    return BlindBaseline(json.loads((shared_folder() / "config" / "blind_baseline.json").read_text()))
