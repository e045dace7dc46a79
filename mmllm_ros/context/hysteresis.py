# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Against flapping: levels are smoothed, and what is decided anew must stay wanted for a while before it is done."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from ..datatypes import NANOSECONDS

Value = TypeVar("Value", bound=Hashable)


class Hysteresis(Generic[Value]):
    """A value that changes only when the new one has been wanted without a break for so long."""

    def __init__(self) -> None:
        self.value: Value | None = None
        self._wanted: Value | None = None
        self._since = 0

    def step(self, wanted: Value, now: int, seconds: float) -> Value:
        """The value in force at `now` [ns]. The first one counts at once; time that jumps back starts the wait afresh."""
        if self.value is None:
            self.value = wanted
        if wanted != self._wanted or now < self._since:
            self._wanted, self._since = wanted, now
        if now - self._since >= seconds * NANOSECONDS:
            self.value = wanted
        return self.value


class Smoothed:
    """Numbers by name, each following its newest value with a time constant; a name that is not told fades out of it."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._last = 0

    def step(self, values: Mapping[str, float], now: int, seconds: float) -> dict[str, float]:
        """The smoothed values at `now` [ns]; a time that jumps back forgets what was."""
        passed = (now - self._last) / NANOSECONDS
        keep = math.exp(-passed / seconds) if passed >= 0 and seconds else 0.0
        self._last = now
        self._values = {name: keep * self._values.get(name, value) + (1 - keep) * value for name, value in values.items()}
        return dict(self._values)
