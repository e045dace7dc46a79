# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a person is shown of a sensor: one of four states, each with one colour in every picture, marker and recording."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum

from ..context.context_estimate import STILL
from ..datatypes import Health, Plan


class State(Enum):
    """The value is the colour, RGB; the four stay apart for people who do not tell red from green."""

    PLUGGED = (0, 170, 120)
    UNPLUGGED = (128, 134, 144)
    FAULTY = (226, 84, 30)
    SILENT = (78, 84, 94)

    @property
    def word(self) -> str:
        """For a badge."""
        return self.name.lower()


def state_of(health: Health | None, plan: Plan | None) -> State:
    """A sensor that is heard of and believed is plugged or not, as the plan says of its modality."""
    if health is None or health.rate <= 0.0:
        return State.SILENT
    if not health.healthy:
        return State.FAULTY
    return State.PLUGGED if plan and plan.plugged.get(health.modality) else State.UNPLUGGED


def modality_state(modality: str, plan: Plan | None) -> tuple[State, str]:
    """Whether a modality is plugged, and the plan's reason."""
    if plan is None or modality not in plan.plugged:
        return State.SILENT, "no plan says anything of it yet"
    return State.PLUGGED if plan.plugged[modality] else State.UNPLUGGED, plan.reasons.get(modality, "")


class Watch:
    """The newest health of every source, and what went before: `past` holds (state, rate [Hz]), oldest first."""

    LENGTH = 60
    """Entries of `past`, half a minute at the 2 Hz of the health topic."""

    def __init__(self) -> None:
        self.healths: dict[tuple[str, str], Health] = {}
        self.past: dict[tuple[str, str], deque[tuple[State, float]]] = {}

    def add(self, health: Health, plan: Plan | None) -> None:
        """Keep one report."""
        source = (health.modality, health.source)
        self.healths[source] = health
        self.past.setdefault(source, deque(maxlen=self.LENGTH)).append((state_of(health, plan), health.rate))

    def clear(self) -> None:
        """Time has jumped back."""
        self.healths.clear()
        self.past.clear()


def turning(healths: Mapping[tuple[str, str], Health]) -> float | None:
    """The turn rate [rad/s] that the IMU shows, counter-clockwise positive; None while it stands or no IMU is believed."""
    for health in healths.values():
        if health.healthy and health.signals.get("vibration", 0.0) >= STILL and "turn_rate" in health.signals:
            return health.signals["turn_rate"]
    return None


def motion_text(healths: Mapping[tuple[str, str], Health]) -> str:
    """For example `moving, turning left 11 deg/s`."""
    if not any(health.healthy and "turn_rate" in health.signals for health in healths.values()):
        return "motion unknown"
    rate = turning(healths)
    if rate is None:
        return "standing"
    if abs(rate) < STRAIGHT:
        return "moving straight on"
    return f"moving, turning {'left' if rate > 0 else 'right'} {abs(rate) * 57.3:.0f} deg/s"


STRAIGHT = 0.03
"""A slower turn [rad/s] is straight on."""
