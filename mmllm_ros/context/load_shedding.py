# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Load shedding: on a busy machine frames are encoded ahead of questions less often, then only when a question needs them."""

from __future__ import annotations

from collections import deque

from ..datatypes import NANOSECONDS

LIMITS = {"cpu": (90.0, 70.0), "temperature": (90.0, 80.0)}
"""Machine CPU [%] and hottest temperature [degrees Celsius]: (above: shed, all below: recover)."""

ENCODE_SHARES = (1.0, 0.5, 0.0)
"""Share of the encoders' rate by level; 0 = a frame is encoded when a question needs it. No level removes a modality."""

STEP_AFTER, RECOVER_AFTER = 3.0, 10.0
"""Seconds in a row above a limit before the next level, and below all limits before the level before it."""

LEAST_OWN_CPU = 10.0
"""CPU of this package's processes [% of one core] below which there is nothing to shed."""

LEAST_RELIEF = 3.0
"""A level that lowers this package's CPU by less [% of one core] is taken back."""

RETRY_AFTER = 60.0
"""Seconds until a level that relieved nothing is tried again."""


class LoadShedding:
    """Chooses the level from measured load: the machine's says when, the package's own CPU says whether it can help."""

    def __init__(self) -> None:
        self.level = 0
        self.reason = ""
        """What was measured when the level was last raised; empty at level 0."""
        self._readings: deque[tuple[int, float]] = deque()
        self._direction = 0
        self._since = 0
        self._own_before: float | None = None
        self._retry_at = 0

    @property
    def encode_share(self) -> float:
        """Share of their rate at which encoders encode ahead of questions, 0 to 1."""
        return ENCODE_SHARES[self.level]

    def step(self, load: dict[str, float], own_cpu: float, now: int) -> None:
        """Update the level.

        Args:
            load: readings of the machine by name; names that LIMITS lacks are ignored.
            own_cpu: CPU of this package's processes [% of one core].
            now: [ns], any clock; after a jump back the waiting times start again.
        """
        watched = {name: load[name] for name in LIMITS if name in load}
        over = [f"{name} {value:.0f}" for name, value in watched.items() if value > LIMITS[name][0]]
        calm = all(value < LIMITS[name][1] for name, value in watched.items())
        direction = 1 if over else -1 if calm else 0
        if direction != self._direction or now < self._since:
            self._direction, self._since = direction, now
            self._readings.clear()
        self._readings.append((now, own_cpu))
        while now - self._readings[0][0] > STEP_AFTER * NANOSECONDS:
            self._readings.popleft()
        waited = (now - self._since) / NANOSECONDS
        if over and waited >= STEP_AFTER:
            self._shed(over, now)
        elif calm and waited >= RECOVER_AFTER and self.level:
            self._set_level(self.level - 1, now)
            self._own_before = None

    def _shed(self, over: list[str], now: int) -> None:
        own = sum(value for _, value in self._readings) / len(self._readings)
        if self._own_before is not None and self._own_before - own < LEAST_RELIEF:
            self._set_level(self.level - 1, now)
            self._own_before = None
            self._retry_at = now + int(RETRY_AFTER * NANOSECONDS)
        elif self.level + 1 < len(ENCODE_SHARES) and own >= LEAST_OWN_CPU and now >= self._retry_at:
            self._own_before = own
            self._set_level(self.level + 1, now)
            self.reason = f"machine {', '.join(over)}, this package {own:.0f} % of one core"
        else:
            self._own_before = None

    def _set_level(self, level: int, now: int) -> None:
        self.level, self._since = level, now
        self._readings.clear()
        if not level:
            self.reason = ""
