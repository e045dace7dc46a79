# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When something is due again."""

from __future__ import annotations


class PeriodicTimer:
    """Something that is due so many times a second."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def next(self, rate: float) -> float:
        """When it is due again, as time.monotonic() counts."""
        return self._last + 1.0 / rate

    def due(self, now: float, rate: float, early: float = 0.0) -> bool:
        """Whether it is due at `now`, or will be within `early` [s]; it then counts as done."""
        next_time = self.next(rate)
        if now < next_time - early:
            return False
        # Due again a whole period after it was due, not after it was noticed, unless it has fallen behind.
        self._last = next_time if now - next_time < 1.0 / rate and not early else now
        return True
