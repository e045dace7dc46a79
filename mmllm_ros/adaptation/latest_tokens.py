# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What all sensors said last, known to the model or not: a lesson is about this moment."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from ..datatypes import NANOSECONDS, BadInput, Tokens
from .samples import LabelledSample

SCENE = 20
"""Moments of the same so many seconds [s] have much in common: training and validation do not share them."""
MOST_SOURCES = 64


class Moment:
    """The newest tokens of every source. `put` from one thread while another teaches is safe. `now` gives nanoseconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._lock = Lock()
        self._newest: dict[tuple[str, str], Tokens] = {}

    def put(self, tokens: Tokens) -> None:
        """Keep `tokens` as the newest of their source; of more than 64 sources the rest is passed over."""
        with self._lock:
            if (tokens.modality, tokens.source) in self._newest or len(self._newest) < MOST_SOURCES:
                self._newest[tokens.modality, tokens.source] = tokens

    def lesson(self, question: str, answer: str, max_age: float, teachers: tuple[str, ...] = ()) -> LabelledSample:
        """A lesson about now, from tokens of at most `max_age` [s]. Raises BadInput where there are none."""
        moment = self._now()
        with self._lock:
            fresh = [tokens for tokens in self._newest.values() if abs(moment - tokens.stamp) <= max_age * NANOSECONDS]
        if not fresh:
            raise BadInput(f"no sensor has said anything for {max_age:g} s, so there is nothing to learn from")
        return LabelledSample(question, answer, tuple(fresh), f"{moment // (SCENE * NANOSECONDS)}", teachers)
