# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rate and jitter of a sensor, from the stamps of the messages that are read and the number of messages between them."""

from __future__ import annotations

from collections import deque

import numpy as np

from ..datatypes import NANOSECONDS

SPAN = 5 * NANOSECONDS
"""Rate and jitter are computed over this span of stamps [ns]."""


class RateMonitor:
    """Rate and jitter of one sensor.

    Not every message is read: a step is the time between two read messages divided by the number of messages sent meanwhile.
    The jitter is exact where every message is read, else it is that of the mean steps.
    """

    def __init__(self) -> None:
        self._steps: deque[tuple[int, int, int]] = deque()  # stamp, time since the one before, messages since then
        self._last: int | None = None

    def clear(self) -> None:
        """Drop all stamps."""
        self._steps.clear()
        self._last = None

    def add(self, stamp: int, messages: int = 1) -> None:
        """Add a message stamped `stamp` [ns], the last of `messages` sent since the one before. A stamp that goes back resets."""
        if self._last is not None and stamp < self._last:
            self.clear()
        if self._last is not None and stamp > self._last:
            self._steps.append((stamp, stamp - self._last, messages))
        self._last = stamp
        while self._steps and stamp - self._steps[0][0] > SPAN:
            self._steps.popleft()

    @property
    def rate(self) -> float:
        """Messages per second [Hz], 0 before the second one."""
        duration = sum(step for _, step, _ in self._steps)
        return sum(messages for _, _, messages in self._steps) / duration * NANOSECONDS if duration else 0.0

    @property
    def jitter(self) -> float:
        """Standard deviation of the time between messages [s]."""
        steps = [step / messages for _, step, messages in self._steps]
        return float(np.std(steps)) / NANOSECONDS if steps else 0.0
