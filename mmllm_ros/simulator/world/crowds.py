# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parked rows, groups of people, and single road users anywhere around the ego vehicle: more of them than traffic has.

Their shares are about those of the annotations of nuScenes (arXiv 1903.11027), with more of the rare classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .ray_scene import SCENERY, SceneMesh
from .shapes import pick

SHARES = {
    "car": 0.40,
    "truck": 0.08,
    "bus": 0.03,
    "construction vehicle": 0.03,
    "trailer": 0.03,
    "bicycle": 0.09,
    "motorcycle": 0.06,
    "pedestrian": 0.20,
    "traffic cone": 0.04,
    "barrier": 0.04,
}
ROW = {
    "car": (6, 1.0),
    "pedestrian": (5, 0.5),
    "bicycle": (4, 0.4),
    "motorcycle": (3, 0.5),
    "traffic cone": (5, 2.0),
    "barrier": (5, 0.5),
}
"""Most members of a row or group, and the usual gap between them [m]; other classes come alone."""
LARGER = (0.82, 1.12)
"""Range of the factor of each size of a vehicle."""
NEAREST, FARTHEST = 4.0, 38.0
"""Range of the distance from the ego vehicle [m]."""
GROUPS = (4, 16)
"""Range of the number of rows and groups."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A road user in world coordinates: x, y [m], yaw [rad] and length, width, height [m]."""

    category: str
    x: float
    y: float
    yaw: float
    size: tuple[float, float, float]
    mesh: SceneMesh


def draw_crowd(pose: tuple[float, float, float], taken: np.ndarray, rng: np.random.Generator) -> list[Placed]:
    """Rows and groups around `pose` (x, y, yaw) that keep off `taken` [n, 3]: x, y and radius [m]."""
    made: list[Placed] = []
    taken = np.concatenate([taken, [[*pose[:2], 3.0]]])
    for _ in range(int(rng.integers(*GROUPS))):
        category = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        most, gap = ROW.get(category, (1, 1.0))
        away, bearing = rng.uniform(NEAREST, FARTHEST), rng.uniform(-math.pi, math.pi)
        x, y = pose[0] + away * math.cos(bearing), pose[1] + away * math.sin(bearing)
        yaw = rng.choice([0.0, 0.5, 1.0, 1.5]) * math.pi + rng.normal(0, 0.15)
        beside = rng.random() < 0.5
        for _ in range(int(rng.integers(1, most + 1))):
            item = _placed(category, x, y, yaw, rng)
            radius = math.hypot(*item.size[:2]) / 2
            if (np.hypot(taken[:, 0] - x, taken[:, 1] - y) > taken[:, 2] + radius).all():
                made.append(item)
            step = item.size[1 if beside else 0] + gap * rng.uniform(0.5, 1.8)
            turn = yaw + (math.pi / 2 if beside else 0.0)
            x, y = x + step * math.cos(turn), y + step * math.sin(turn)
        members = [(item.x, item.y, math.hypot(*item.size[:2]) / 2) for item in made]
        taken = np.concatenate([taken, np.array(members).reshape(-1, 3)])
    return made


def _placed(category: str, x: float, y: float, yaw: float, rng: np.random.Generator) -> Placed:
    state = ""
    if category in ("bicycle", "motorcycle"):
        state = str(rng.choice(["with rider", "without rider"], p=[0.6, 0.4]))
    elif category == "pedestrian":
        state = str(rng.choice(["moving", "standing", "not standing"], p=[0.5, 0.4, 0.1]))
    shape = pick(category, state, rng)
    low, high = LARGER if category not in ("pedestrian", "traffic cone") else (0.9, 1.1)
    common = rng.uniform(low, high)
    scale = tuple(float(common * rng.uniform(0.95, 1.05)) for _ in range(3))
    if category == "pedestrian":
        yaw = rng.uniform(-math.pi, math.pi)
    size = tuple(extent * factor for extent, factor in zip(shape.size, scale, strict=True))
    return Placed(category, x, y, yaw, size, SceneMesh(shape.mesh.placed(x, y, yaw, 0.0, scale), SCENERY, {}))
