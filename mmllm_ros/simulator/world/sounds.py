# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What makes a sound at one moment: sirens, horns, reversing beepers, engines and footsteps of the road users.

Which vehicle has a siren on, and so on, is a function of the seed of the drive and of the road user, so it stays during a drive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...datatypes import NANOSECONDS
from ..truth import VEHICLES, SceneObject, SceneTruth

KINDS = ("siren", "horn", "reversing beeper", "engine", "footsteps")
HONK_PERIOD = 4.0
"""A vehicle that sounds its horn does so in about half of the periods of this length [s]."""

_STREAM = 48
_HEAVY = ("bus", "truck", "construction vehicle")
_LEVEL = {"siren": 105.0, "horn": 103.0, "reversing beeper": 93.0, "engine": 74.0, "footsteps": 62.0}
"""Sound pressure level at 1 m [dB]."""


@dataclass(frozen=True, slots=True)
class SoundSource:
    """One source. `identifier` is that of its SceneObject, `variant` in [0, 1) chooses its pitch and rhythm.

    `position` x, y, z [m] and `velocity` x, y [m/s], both relative to the ego vehicle in its base frame. `level` [dB] is the
    sound pressure level at 1 m, `speed` [m/s] over ground.
    """

    identifier: int
    kind: str
    variant: float
    position: tuple[float, float, float]
    velocity: tuple[float, float]
    level: float
    speed: float

    @property
    def range(self) -> float:
        """Horizontal distance from the middle of the ego vehicle [m]."""
        return math.hypot(self.position[0] - MIDDLE, self.position[1])

    @property
    def bearing(self) -> float:
        """From the middle of the ego vehicle [rad]."""
        return math.atan2(self.position[1], self.position[0] - MIDDLE)

    @property
    def closing_speed(self) -> float:
        """How fast the distance shrinks [m/s], negative where it grows."""
        x, y = self.position[0] - MIDDLE, self.position[1]
        return -(x * self.velocity[0] + y * self.velocity[1]) / max(self.range, 0.1)


QUIETEST = 38.0
"""Quieter sounds are drowned by the vehicle's own [dB]."""
MIDDLE = 1.4
"""x of the middle of the ego vehicle, and of its microphones [m]."""


def sound_sources(seed: int, truth: SceneTruth) -> tuple[SoundSource, ...]:
    """The sources within 60 m that reach the ego vehicle with QUIETEST or more.

    `truth` is that of a moment of the drive with this seed.
    """
    sources = (source for item in truth.objects for source in _of(seed, item, truth))
    return tuple(source for source in sources if source.level - 20 * math.log10(max(source.range, 1.0)) > QUIETEST)


def _of(seed: int, item: SceneObject, truth: SceneTruth) -> list[SoundSource]:
    rng = np.random.default_rng([seed, _STREAM, item.identifier])
    role, honking, variant = rng.random(3)
    kinds = []
    running = item.category in VEHICLES and item.category != "trailer" and item.status in ("moving", "stopped")
    if running or (item.status == "with rider" and item.category == "motorcycle"):
        kinds.append("engine")
    if running and item.category in ("car", "truck"):
        kinds += ["siren"] * bool(role < 0.28)
    if running and 0.28 <= role < 0.6:
        period = int(truth.stamp // int(HONK_PERIOD * NANOSECONDS))
        kinds += ["horn"] * bool(np.random.default_rng([seed, _STREAM, item.identifier, period & 0xFFFFFFFF]).random() < 0.5)
    # A parked vehicle with its beeper on is about to reverse.
    if item.status in ("parked", "stopped") and item.category in (*_HEAVY, "car") and honking < 0.14:
        kinds.append("reversing beeper")
    if item.category == "pedestrian" and item.status == "moving":
        kinds.append("footsteps")
    speed = math.hypot(*item.velocity)
    heavy = 8.0 * (item.category in _HEAVY) + 4.0 * (item.category == "motorcycle")
    louder = {"engine": heavy + 1.1 * min(speed, 15.0)}
    velocity = (item.velocity[0] - truth.ego.speed, item.velocity[1])
    return [
        SoundSource(item.identifier, kind, variant, item.position, velocity, _LEVEL[kind] + louder.get(kind, 0.0), speed)
        for kind in kinds
    ]
