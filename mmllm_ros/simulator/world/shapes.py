# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several shapes for each nuScenes class, x forward, the origin on the ground below the centre."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .mesh import Colour, Mesh, join
from .people_and_cycles import barriers, bicycles, cones, motorcycles, pedestrians
from .shape_parts import Figure
from .vehicle_shapes import buses, cars, machines, trailers, trucks

PAINTS: dict[str, Colour] = {
    "red": (0.55, 0.02, 0.02),
    "green": (0.03, 0.32, 0.06),
    "blue": (0.02, 0.08, 0.5),
    "yellow": (0.75, 0.5, 0.02),
    "white": (0.8, 0.8, 0.8),
    "black": (0.012, 0.012, 0.014),
}
"""The named colours of vehicles, linear RGB."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A mesh with its box size (length, width, height). `state` is the status that the shape itself shows, else ""."""

    name: str
    mesh: Mesh
    size: tuple[float, float, float]
    state: str = ""


def _whole(name: str, parts: list[Mesh], state: str) -> Shape:
    mesh = join(parts)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    mesh.vertices[:] -= [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]]
    return Shape(name, mesh, tuple(float(extent) for extent in high - low), state)


_MAKERS: dict[str, Callable[[], list[Figure]]] = {
    "car": cars,
    "truck": trucks,
    "bus": buses,
    "construction vehicle": machines,
    "trailer": trailers,
    "bicycle": bicycles,
    "motorcycle": motorcycles,
    "pedestrian": pedestrians,
    "traffic cone": cones,
    "barrier": barriers,
}


@functools.cache
def shapes(category: str) -> tuple[Shape, ...]:
    """All shapes of a category. The arrays are shared: do not change them."""
    return tuple(_whole(*figure) for figure in _MAKERS[category]())


def pick(category: str, state: str, rng: np.random.Generator) -> Shape:
    """A random shape of `category` among those whose state is `state` or undefined."""
    fitting = [shape for shape in shapes(category) if shape.state in ("", state)]
    return fitting[rng.integers(len(fitting))]
