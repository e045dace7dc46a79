# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When a periodic task is due."""

from __future__ import annotations


class PeriodicTimer:
    """A task that is due at a rate [Hz], which may change from call to call."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def next(self, rate: float) -> float:
        """The next due time [s, time.monotonic()]."""
        return self._last + 1.0 / rate

    def due(self, now: float, rate: float, early: float = 0.0) -> bool:
        """Whether the task is due at `now`, or within `early` [s]; if so it is marked as done."""
        next_time = self.next(rate)
        if now < next_time - early:
            return False
        # The next period begins at the due time, not at `now`, unless the task is late by a period or more.
        self._last = next_time if now - next_time < 1.0 / rate and not early else now
        return True
