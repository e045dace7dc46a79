# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ramps, walls and bollards near the ego vehicle, for questions about slopes and short distances that a flat town cannot give."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .mesh import Mesh, box, cylinder, extrude
from .ray_scene import SCENERY, SceneMesh

FRONT, REAR, SIDE = 3.7, -0.9, 0.95
"""The ego vehicle's bumpers and side, from the origin of its base frame [m]."""
RAMP_LENGTH, RAMP_WIDTH = 22.0, 9.0

_CONCRETE = {"colour": (0.36, 0.35, 0.33), "reflectance": 0.4}
_ASPHALT = {"colour": (0.09, 0.09, 0.092), "reflectance": 0.2}


@dataclass(frozen=True, slots=True)
class Prop:
    """A fixed thing. `kind` is ramp, wall or bollard; x, y [m] and yaw [rad] in the base frame of one moment.

    The yaw of a wall is that of its face towards the robot, 0 = facing backwards (-x). `slope` [rad] is that of a ramp, which
    begins at (x, y) and rises along +x.
    """

    kind: str
    x: float
    y: float
    yaw: float = 0.0
    slope: float = 0.0

    def placed(self, pose: tuple[float, float, float]) -> SceneMesh:
        """The mesh in the world, for the ego vehicle at `pose` (x, y, yaw)."""
        x, y, yaw = pose
        c, s = math.cos(yaw), math.sin(yaw)
        mesh = self._mesh().placed(x + c * self.x - s * self.y, y + s * self.x + c * self.y, yaw + self.yaw)
        return SceneMesh(mesh, SCENERY, {})

    def _mesh(self) -> Mesh:
        if self.kind == "ramp":
            profile = [(0.0, 0.0), (RAMP_LENGTH, 0.0), (RAMP_LENGTH, RAMP_LENGTH * math.tan(self.slope))]
            return extrude(profile, RAMP_WIDTH, **_ASPHALT)
        if self.kind == "wall":
            return box((0.3, 6.0, 3.5), (0.15, 0.0, 1.75), **_CONCRETE)
        return cylinder(0.15, 1.0, (0.0, 0.0, 0.5), "z", 8, **_CONCRETE)


def draw_props(rng: np.random.Generator, standing: bool) -> tuple[Prop, ...]:
    """What stands around the ego vehicle at one moment. Only around a standing vehicle there are things within a few metres."""
    props = []
    ahead = rng.choice(["nothing", "ramp", "wall"], p=[0.25, 0.35, 0.4])
    if ahead == "ramp":
        props.append(
            Prop("ramp", FRONT + rng.uniform(1.5, 8.0), rng.uniform(-0.5, 0.5), 0.0, math.radians(rng.uniform(5.0, 12.0)))
        )
    elif ahead == "wall":
        turned = math.radians(rng.choice([0.0, 0.0, -1.0, 1.0]) * rng.uniform(35.0, 60.0))
        near = 0.5 if standing else 4.0
        props.append(Prop("wall", FRONT + near + min(rng.exponential(5.0), 16.0), rng.uniform(-0.5, 0.5), turned))
    if not standing:
        return tuple(props)
    behind = rng.choice(["nothing", "wall", "bollard"], p=[0.2, 0.6, 0.2])
    if behind != "nothing":
        turned = math.pi + (math.radians(rng.uniform(-15.0, 15.0)) if behind == "wall" else 0.0)
        props.append(Prop(str(behind), REAR - rng.uniform(0.4, 5.5), rng.uniform(-0.5, 0.5), turned))
    for side in (1, -1):
        if rng.random() < 0.6:
            kind = str(rng.choice(["wall", "bollard"]))
            props.append(Prop(kind, rng.uniform(0.8, 2.0), side * (SIDE + rng.uniform(0.4, 4.0)), side * math.pi / 2))
    return tuple(props)
