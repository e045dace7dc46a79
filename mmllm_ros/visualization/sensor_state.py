# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""State of a sensor for display: one of four, each with one colour in all pictures, markers and recordings."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum

from ..context.context_estimate import STILL
from ..datatypes import Health, Plan


class State(Enum):
    """The value is the colour (RGB), distinguishable with red-green colour blindness."""

    PLUGGED = (0, 170, 120)
    UNPLUGGED = (128, 134, 144)
    FAULTY = (226, 84, 30)
    SILENT = (78, 84, 94)

    @property
    def word(self) -> str:
        """The state as lower-case text."""
        return self.name.lower()


def state_of(health: Health | None, plan: Plan | None) -> State:
    """SILENT without messages, FAULTY when unhealthy, else PLUGGED or UNPLUGGED by the plan for its modality."""
    if health is None or health.rate <= 0.0:
        return State.SILENT
    if not health.healthy:
        return State.FAULTY
    return State.PLUGGED if plan and plan.plugged.get(health.modality) else State.UNPLUGGED


def modality_state(modality: str, plan: Plan | None) -> tuple[State, str]:
    """State of a modality in the plan, and the plan's reason."""
    if plan is None or modality not in plan.plugged:
        return State.SILENT, "no plan received for it"
    return State.PLUGGED if plan.plugged[modality] else State.UNPLUGGED, plan.reasons.get(modality, "")


class HealthHistory:
    """The newest health of every source, and its history: `entries` holds (state, rate [Hz]), oldest first."""

    LENGTH = 60
    """Length of `entries`, 30 s at the 2 Hz of the health topic."""

    def __init__(self) -> None:
        self.healths: dict[tuple[str, str], Health] = {}
        self.entries: dict[tuple[str, str], deque[tuple[State, float]]] = {}

    def add(self, health: Health, plan: Plan | None) -> None:
        """Add one health message."""
        source = (health.modality, health.source)
        self.healths[source] = health
        self.entries.setdefault(source, deque(maxlen=self.LENGTH)).append((state_of(health, plan), health.rate))

    def clear(self) -> None:
        """Forget all entries, after time has jumped back."""
        self.healths.clear()
        self.entries.clear()


def turn_rate_of(healths: Mapping[tuple[str, str], Health]) -> float | None:
    """Turn rate [rad/s] of the IMU, counter-clockwise positive; None at standstill or without a healthy IMU."""
    for health in healths.values():
        if health.healthy and health.signals.get("vibration", 0.0) >= STILL and "turn_rate" in health.signals:
            return health.signals["turn_rate"]
    return None


def motion_text(healths: Mapping[tuple[str, str], Health]) -> str:
    """For example `moving, turning left 11 deg/s`."""
    if not any(health.healthy and "turn_rate" in health.signals for health in healths.values()):
        return "motion unknown"
    rate = turn_rate_of(healths)
    if rate is None:
        return "standing"
    if abs(rate) < STRAIGHT:
        return "moving straight on"
    return f"moving, turning {'left' if rate > 0 else 'right'} {abs(rate) * 57.3:.0f} deg/s"


STRAIGHT = 0.03
"""Turn rates below this [rad/s] count as straight."""
