# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Load shedding: reduces the plan step by step while the machine is overloaded."""

from __future__ import annotations

from dataclasses import dataclass

from ..datatypes import NANOSECONDS

LIMITS = {"cpu": (90.0, 70.0), "memory": (92.0, 85.0), "gpu memory": (92.0, 85.0), "temperature": (90.0, 80.0)}
"""Limits [%, degrees Celsius]: above the first the level rises, below the second it falls."""

RAISE_AFTER, LOWER_AFTER = 3.0, 10.0
"""Time above a limit until the level rises by one, and time below all of them until it falls by one [s]."""


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """Effect of a level: from 1 half the encoding rate, from 2 the fewest linked blocks, from 3 one modality less per level."""

    level: int = 0

    @property
    def encode_rate_share(self) -> float:
        """Share of their rate at which encoders may encode ahead of questions."""
        return 0.5 if self.level >= 1 else 1.0

    @property
    def shallow(self) -> bool:
        """Whether only the smallest measured number of blocks is linked."""
        return self.level >= 2

    @property
    def dropped(self) -> int:
        """Number of modalities to drop, those with the least loss of accuracy first."""
        return max(0, self.level - 2)


class LoadShedding:
    """Raises and lowers the level with the machine load, slowly enough not to oscillate."""

    def __init__(self, most: int = 4) -> None:
        self.level = 0
        self.reason = ""
        self._most = most
        self._since = 0
        self._direction = 0

    def step(self, load: dict[str, float], now: int) -> LoadLevel:
        """The level after a measurement of `load` (keys of LIMITS) at `now` [ns]."""
        over = [f"{name} {value:.0f}" for name, value in load.items() if value > LIMITS[name][0]]
        low = all(value < LIMITS[name][1] for name, value in load.items())
        direction = 1 if over else -1 if low else 0
        if direction != self._direction or now < self._since:
            self._direction, self._since = direction, now
        waited = (now - self._since) / NANOSECONDS
        if over and waited >= RAISE_AFTER and self.level < self._most:
            self.level, self._since, self.reason = self.level + 1, now, ", ".join(over)
        elif low and waited >= LOWER_AFTER and self.level:
            self.level, self._since = self.level - 1, now
        return LoadLevel(self.level)
