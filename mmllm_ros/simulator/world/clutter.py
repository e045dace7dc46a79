# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What stands beside real streets and is no object of the ten classes: hedges, bushes, trees, fences, walls, poles, signs, boxes.

Vegetation is a cloud of small triangles, so that a lidar's beams end at all depths in it, as in leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .mesh import Mesh, box, cylinder, join, uniform_mesh
from .ray_scene import SCENERY, SceneMesh
from .town import Town

NEAREST, FARTHEST = 4.0, 38.0
"""Range of the distance of clutter from the ego vehicle [m]."""
_LEAF = {"colour": (0.05, 0.12, 0.03), "reflectance": 0.4}
_STONE = {"colour": (0.35, 0.33, 0.3), "reflectance": 0.35}
_METAL = {"colour": (0.3, 0.3, 0.32), "reflectance": 0.4}


def _leaves(size: Sequence[float], low: float, count: int, rng: np.random.Generator, round_: bool) -> Mesh:
    """Triangles in a box, or the ellipsoid in it, whose lower side is at `low` [m]."""
    middles = rng.uniform(-0.5, 0.5, (count, 3))
    if round_:
        middles /= np.maximum(2 * np.linalg.norm(middles, axis=1, keepdims=True), 0.6)
    middles = middles * size + (0.0, 0.0, low + size[2] / 2)
    corners = middles[:, None] + rng.normal(0, 0.12, (count, 3, 3))
    corners[..., 2] = corners[..., 2].clip(0.0)
    return uniform_mesh(corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3), **_LEAF)


def _bush(rng: np.random.Generator) -> Mesh:
    size = rng.uniform((0.5, 0.5, 0.5), (3.5, 2.0, 2.5))
    return _leaves(size, 0.0, int(60 + 60 * size.prod() ** 0.66), rng, True)


def _hedge(rng: np.random.Generator) -> Mesh:
    size = rng.uniform((2.5, 0.4, 0.6), (12.0, 1.2, 2.2))
    return _leaves(size, 0.0, int(60 * size[0] * size[2]), rng, False)


def _tree(rng: np.random.Generator) -> Mesh:
    height = rng.uniform(1.2, 3.0)
    trunk = cylinder(rng.uniform(0.06, 0.35), height + 0.5, (0, 0, height / 2), "z", 8, rng.uniform(0.6, 1.0), **_STONE)
    size = rng.uniform((1.5, 1.5, 1.5), (6.0, 6.0, 4.0))
    parts = [trunk, _leaves(size, height * rng.uniform(0.5, 1.0), int(40 + 30 * size.prod() ** 0.66), rng, True)]
    return join(parts)


def _pole(rng: np.random.Generator) -> Mesh:
    height = rng.uniform(1.0, 7.0)
    return cylinder(rng.uniform(0.03, 0.2), height, (0, 0, height / 2), "z", 8, **_METAL)


def _sign(rng: np.random.Generator) -> Mesh:
    low, width, tall = rng.uniform(0.3, 2.4), rng.uniform(0.3, 1.2), rng.uniform(0.3, 1.2)
    post = cylinder(0.04, low + tall, (0, 0, (low + tall) / 2), "z", 6, **_METAL)
    return join([post, box((0.04, width, tall), (0.05, 0, low + tall / 2), **_METAL)])


def _wall(rng: np.random.Generator) -> Mesh:
    length, height = rng.uniform(1.5, 14.0), rng.uniform(0.5, 2.8)
    return box((length, rng.uniform(0.15, 0.5), height), (0, 0, height / 2), **_STONE)


def _fence(rng: np.random.Generator) -> Mesh:
    length, height = rng.uniform(3.0, 12.0), rng.uniform(0.8, 2.0)
    gap = rng.uniform(0.12, 0.5)
    bars = [box((0.05, 0.05, height), (x, 0, height / 2), **_METAL) for x in np.arange(-length / 2, length / 2, gap)]
    return join([*bars, box((length, 0.05, 0.06), (0, 0, height - 0.1), **_METAL)])


def _container(rng: np.random.Generator) -> Mesh:
    """Bins, cabinets, benches, heaps of crates."""
    size = rng.uniform((0.3, 0.3, 0.4), (2.0, 1.2, 1.6))
    return box(size, (0, 0, size[2] / 2), **_STONE)


_KINDS: tuple[tuple[Callable[[np.random.Generator], Mesh], float], ...] = (
    (_bush, 0.24),
    (_hedge, 0.12),
    (_tree, 0.16),
    (_pole, 0.14),
    (_sign, 0.08),
    (_wall, 0.1),
    (_fence, 0.08),
    (_container, 0.08),
)


def draw_clutter(
    town: Town, pose: tuple[float, float, float], taken: np.ndarray, rng: np.random.Generator, most: int = 60
) -> list[SceneMesh]:
    """Up to `most` things beside the streets around `pose` (x, y, yaw), none nearer than its radius to `taken` [n, 3], x, y and
    radius [m]."""
    made = []
    for _ in range(int(rng.integers(most // 4, most + 1))):
        number = rng.choice(len(_KINDS), p=[share for _, share in _KINDS])
        mesh = _KINDS[number][0](rng)
        away, bearing = rng.uniform(NEAREST, FARTHEST), rng.uniform(-math.pi, math.pi)
        x, y = pose[0] + away * math.cos(bearing), pose[1] + away * math.sin(bearing)
        streets = [abs(math.remainder(place, pitch)) for place, pitch in zip((x, y), town.pitch, strict=True)]
        radius = float(np.hypot(*np.abs(mesh.vertices[:, :2]).max(0)))
        if min(streets) < town.half or (np.hypot(taken[:, 0] - x, taken[:, 1] - y) < taken[:, 2] + min(radius, 1.0) + 0.3).any():
            continue
        along = rng.choice([0.0, math.pi / 2]) + rng.normal(0, 0.2)
        made.append(SceneMesh(mesh.placed(x, y, along), SCENERY, {}))
    return made
