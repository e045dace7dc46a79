# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compute pressure: how busy the machine is, and by how many steps the plan has to give way."""

from __future__ import annotations

from dataclasses import dataclass

from ..datatypes import NANOSECONDS

LIMITS = {"cpu": (90.0, 70.0), "memory": (92.0, 85.0), "gpu memory": (92.0, 85.0), "temperature": (90.0, 80.0)}
"""What is read [%, and degrees Celsius]: above the first number the plan gives way, below the second it may take back."""

YIELD_AFTER, TAKE_BACK_AFTER = 3.0, 10.0
"""Seconds in a row above a limit for a step down, and below all of them for a step back up."""


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """What giving way by `level` steps means: half the rate first, then the fewest linked blocks, then one modality a step."""

    level: int = 0

    @property
    def duty(self) -> float:
        """Share of their rate at which encoders may encode ahead."""
        return 0.5 if self.level >= 1 else 1.0

    @property
    def shallow(self) -> bool:
        """Whether only the fewest linked blocks that were measured are left."""
        return self.level >= 2

    @property
    def dropped(self) -> int:
        """How many modalities must go, those that lose least by the table first."""
        return max(0, self.level - 2)


class LoadShedding:
    """Steps up and down with what `Load` tells, slowly enough not to swing."""

    def __init__(self, most: int = 4) -> None:
        self.level = 0
        self.reason = ""
        self._most = most
        self._since = 0
        self._direction = 0

    def step(self, load: dict[str, float], now: int) -> LoadLevel:
        """The relief in force after a reading of `load` (names of LIMITS) at `now` [ns]."""
        over = [f"{name} {value:.0f}" for name, value in load.items() if value > LIMITS[name][0]]
        calm = all(value < LIMITS[name][1] for name, value in load.items())
        direction = 1 if over else -1 if calm else 0
        if direction != self._direction or now < self._since:
            self._direction, self._since = direction, now
        waited = (now - self._since) / NANOSECONDS
        if over and waited >= YIELD_AFTER and self.level < self._most:
            self.level, self._since, self.reason = self.level + 1, now, ", ".join(over)
        elif calm and waited >= TAKE_BACK_AFTER and self.level:
            self.level, self._since = self.level - 1, now
        return LoadLevel(self.level)
