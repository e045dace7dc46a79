# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Prevents flapping: smoothing of levels, and hysteresis of decisions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from ..datatypes import NANOSECONDS

Value = TypeVar("Value", bound=Hashable)


class Hysteresis(Generic[Value]):
    """A value that changes only after the new value has been requested without interruption for some time."""

    def __init__(self) -> None:
        self.value: Value | None = None
        self._requested: Value | None = None
        self._since = 0

    def step(self, requested: Value, now: int, seconds: float) -> Value:
        """The value at `now` [ns]. The first request takes effect at once; a jump back in time restarts the wait."""
        if self.value is None:
            self.value = requested
        if requested != self._requested or now < self._since:
            self._requested, self._since = requested, now
        if now - self._since >= seconds * NANOSECONDS:
            self.value = requested
        return self.value


class ExponentialSmoothing:
    """Low-pass filter of named numbers with a time constant; a name missing from the input is dropped."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._last = 0

    def step(self, values: Mapping[str, float], now: int, seconds: float) -> dict[str, float]:
        """The smoothed values at `now` [ns]; a jump back in time resets the filter."""
        passed = (now - self._last) / NANOSECONDS
        keep = math.exp(-passed / seconds) if passed >= 0 and seconds else 0.0
        self._last = now
        self._values = {name: keep * self._values.get(name, value) + (1 - keep) * value for name, value in values.items()}
        return dict(self._values)
