# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One road user or obstacle, and its paint."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..truth import CYCLES, VEHICLES
from .mesh import Colour, Mesh
from .shapes import PAINTS, Shape
from .town import Town


@dataclass(slots=True)
class Actor:
    """One road user or obstacle. `mode` is drive, walk, still or towed; `along`, `right` place it on its street."""

    identifier: int
    category: str
    shape: Shape
    scale: tuple[float, float, float]
    colour: str
    paint: Colour
    mode: str
    state: str
    axis: int
    street: int
    heading: int
    along: float
    right: float
    turn: float = 0.0
    speed: float = 0.0
    cruise: float = 0.0
    hold: float = 0.0
    braking: bool = False
    blocked: float = 0.0
    tow: Actor | None = None
    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0

    @property
    def size(self) -> tuple[float, float, float]:
        """Length, width, height [m]."""
        length, width, height = (extent * factor for extent, factor in zip(self.shape.size, self.scale, strict=True))
        return length, width, height

    @property
    def status(self) -> str:
        """One of truth.STATUSES, or "" for things that have none."""
        if self.category in VEHICLES and self.mode != "still":
            return "moving" if self.speed > 1.0 else "stopped"
        return self.state

    def update_pose(self, town: Town) -> None:
        """Compute x, y, yaw from the position on the street."""
        self.x, self.y, yaw = town.place(self.axis, self.street, self.along, self.right, self.heading)
        self.yaw = math.remainder(yaw + self.turn, 2 * math.pi)

    def mesh(self) -> Mesh:
        """The painted shape at its place in the world."""
        return self.shape.mesh.painted(self.paint).placed(self.x, self.y, self.yaw, 0.0, self.scale)


def paint_of(category: str, shape: Shape, rng: np.random.Generator) -> tuple[str, Colour]:
    """The name of a vehicle's colour ("" for what has no named colour), and the paint itself."""
    if category in VEHICLES:
        names = list(PAINTS)
        chance = [0.03, 0.03, 0.03, 0.82, 0.06, 0.03] if category == "construction vehicle" else [1 / 6] * 6
        name = str(rng.choice(names, p=chance))
        shade = rng.uniform(0.85, 1.15)
        red, green, blue = (min(channel * shade, 0.9) for channel in PAINTS[name])
        return name, (red, green, blue)
    bright = rng.uniform(0.03, 0.6, 3) if category not in CYCLES else rng.uniform(0.02, 0.5, 3)
    return "", (float(bright[0]), float(bright[1]), float(bright[2]))
