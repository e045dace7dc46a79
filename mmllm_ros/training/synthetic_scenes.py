# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random layouts of objects as labels and detectors of real streets report them, without rendering.

The drives of the simulator hold few objects of one class in one direction; streets have parked rows, queues and crowds. A layout
is scattered objects, rows and clusters of few classes within a field of view that may be narrow.
"""

from __future__ import annotations

import math

import numpy as np

from ..datatypes import NANOSECONDS
from ..rig import ImuMount, LidarMount, Rig
from ..simulator.scene_graph import STATUSES_OF
from ..simulator.truth import CATEGORIES, EgoMotion, SceneObject, SceneTruth, Weather

RIG = Rig("any", (), LidarMount(), ImuMount())
"""What the questions are about: all that is in the layout."""
COMMONNESS = (1, 12, 1, 1, 3, 3, 2, 9, 3, 3)
"""How often each of CATEGORIES is, roughly."""
SIZES = {
    "bus": (11.0, 2.9, 3.4), "car": (4.4, 1.85, 1.6), "construction vehicle": (6.5, 2.8, 3.1), "trailer": (10.0, 2.8, 3.6),
    "truck": (6.8, 2.5, 2.8), "bicycle": (1.75, 0.65, 1.4), "motorcycle": (2.1, 0.8, 1.5), "pedestrian": (0.7, 0.7, 1.75),
    "traffic cone": (0.4, 0.4, 0.9), "barrier": (0.6, 2.2, 1.0),
}  # fmt: skip
"""Usual length, width and height of each class [m]."""
FARTHEST = 60.0
"""Up to here [m] objects lie; questions are about those within scene_graph.MAX_RANGE."""


def random_layout(rng: np.random.Generator) -> tuple[SceneTruth, tuple[float, float]]:
    """A scene and the field of view it lies in: bearing of its middle and half of its width [rad]."""
    half = math.pi if rng.random() < 0.4 else rng.uniform(0.4, math.pi)
    middle = 0.0 if rng.random() < 0.6 else rng.uniform(-math.pi, math.pi)
    common = np.array(COMMONNESS, dtype=float) / sum(COMMONNESS)
    shares = rng.dirichlet(0.15 * len(CATEGORIES) * common + 0.02)
    places = [place for _ in range(rng.poisson(2.2)) for place in _group(rng, shares, middle, half)]
    places += [(str(rng.choice(CATEGORIES, p=common)), *_spot(rng, middle, half), "") for _ in range(rng.poisson(1.0))]
    objects = []
    for category, x, y, status in places:
        bearing, away = math.atan2(y, x), math.hypot(x, y)
        if away < 2.0 or abs(math.remainder(bearing - middle, math.tau)) > half or len(objects) >= 40:
            continue
        size = tuple(float(metres * rng.uniform(0.85, 1.15)) for metres in SIZES[category])
        objects.append(_seen(len(objects), category, status or _status(rng, category), (x, y, size[2] / 2), size, rng))
    ego = EgoMotion(float(rng.choice((0.0, 6.0))), float(rng.choice((-0.2, 0.0, 0.2))), float(rng.choice((-2.0, 0.0, 2.0))))
    name = f"layout {rng.integers(2**62)}"
    return SceneTruth(NANOSECONDS, name, name, Weather(), ego, tuple(objects), None), (middle, half)


def _spot(rng: np.random.Generator, middle: float, half: float) -> tuple[float, float]:
    away, bearing = 3.0 * (FARTHEST / 3.0) ** rng.random(), middle + half * rng.uniform(-1, 1)
    return away * math.cos(bearing), away * math.sin(bearing)


def _group(rng: np.random.Generator, shares: np.ndarray, middle: float, half: float) -> list[tuple[str, float, float, str]]:
    """A row or a cluster: mostly of one class and of one status."""
    category = str(rng.choice(CATEGORIES, p=shares / shares.sum()))
    count = min(1 + rng.geometric(0.3), 14)
    x, y = _spot(rng, middle, half)
    length = SIZES[category][0]
    if rng.random() < 0.5:
        heading, step = rng.uniform(-math.pi, math.pi), length + rng.exponential(1.0 + 0.5 * length)
        spots = [(x + k * step * math.cos(heading), y + k * step * math.sin(heading)) for k in range(count)]
    else:
        width = length + rng.exponential(4.0)
        spots = [(x + width * rng.standard_normal(), y + width * rng.standard_normal()) for _ in range(count)]
    status = _status(rng, category) if rng.random() < 0.7 else ""
    mixed = rng.random() < 0.2
    kinds = [str(rng.choice(CATEGORIES, p=shares / shares.sum())) if mixed and rng.random() < 0.4 else category for _ in spots]
    return [(kind, *spot, status if kind == category else "") for kind, spot in zip(kinds, spots)]


def _status(rng: np.random.Generator, category: str) -> str:
    return str(rng.choice(STATUSES_OF.get(category, ("",))))


def _seen(
    index: int, category: str, status: str, position: tuple[float, float, float], size: tuple, rng: np.random.Generator
) -> SceneObject:
    returns = int(50 * (20.0 / max(math.hypot(*position[:2]), 2.0)) ** 2 * rng.uniform(0.3, 1.0)) + 6
    yaw = float(rng.uniform(-math.pi, math.pi))
    return SceneObject(index, category, status, position, yaw, size, (0.0, 0.0), "", {}, {}, returns, returns)
