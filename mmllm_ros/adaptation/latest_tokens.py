# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The latest tokens of every sensor, also of modalities that the model does not have: labelled samples are made from them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from ..datatypes import NANOSECONDS, BadInput, Tokens
from .samples import LabelledSample

SCENE = 20
"""Samples within the same period of so many seconds [s] form one scene, which is used for training or for validation only."""
MOST_SOURCES = 64


class LatestTokens:
    """The latest tokens of every source; thread-safe. `now` returns the time [ns]."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._lock = Lock()
        self._latest: dict[tuple[str, str], Tokens] = {}

    def put(self, tokens: Tokens) -> None:
        """Keep `tokens` as the latest of their source; sources beyond the first MOST_SOURCES are ignored."""
        with self._lock:
            if (tokens.modality, tokens.source) in self._latest or len(self._latest) < MOST_SOURCES:
                self._latest[tokens.modality, tokens.source] = tokens

    def sample(self, question: str, answer: str, max_age: float, teachers: tuple[str, ...] = ()) -> LabelledSample:
        """A labelled sample of the present time, with tokens of at most `max_age` [s]. Raises BadInput where there are none."""
        now = self._now()
        with self._lock:
            recent = [tokens for tokens in self._latest.values() if abs(now - tokens.stamp) <= max_age * NANOSECONDS]
        if not recent:
            raise BadInput(f"no tokens arrived within {max_age:g} s: a labelled sample needs tokens of at least one sensor")
        return LabelledSample(question, answer, tuple(recent), f"{now // (SCENE * NANOSECONDS)}", teachers)
