# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Triangle meshes with colour, lidar reflectance and surface per triangle, and the primitives of all shapes."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[float, float, float]


class Surface(enum.IntEnum):
    """Material of a triangle: plain colour, the owner's paint, a procedural texture, or a lamp that may be lit."""

    PLAIN = 0
    PAINT = 1
    GLASS = 2
    GROUND = 3
    FACADE = 4
    HEAD = 5
    TAIL = 6
    RED = 7
    YELLOW = 8
    GREEN = 9
    STREET = 10


@dataclass(frozen=True, slots=True)
class Mesh:
    """Vertices float32 [V, 3]; triangles uint32 [T, 3]; colour float32 [T, 3], linear; reflectance [T]; surface uint8 [T]."""

    vertices: np.ndarray
    triangles: np.ndarray
    colour: np.ndarray
    reflectance: np.ndarray
    surface: np.ndarray

    def placed(self, x: float, y: float, yaw: float, z: float = 0.0, scale: Sequence[float] = (1.0, 1.0, 1.0)) -> Mesh:
        """The mesh scaled along its own axes, turned by `yaw` and moved to (x, y, z)."""
        c, s = math.cos(yaw), math.sin(yaw)
        turn = np.array([[c * scale[0], s * scale[0], 0], [-s * scale[1], c * scale[1], 0], [0, 0, scale[2]]], np.float32)
        return replace(self, vertices=self.vertices @ turn + np.array([x, y, z], np.float32))

    def painted(self, colour: Colour) -> Mesh:
        """The mesh with `colour` on its painted triangles."""
        colours = self.colour.copy()
        colours[self.surface == Surface.PAINT] = colour
        return replace(self, colour=colours)


def join(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + np.uint32(start) for mesh, start in zip(meshes, starts, strict=True)]),
        np.concatenate([mesh.colour for mesh in meshes]),
        np.concatenate([mesh.reflectance for mesh in meshes]),
        np.concatenate([mesh.surface for mesh in meshes]),
    )


def uniform_mesh(vertices, triangles, colour: Colour, surface: Surface = Surface.PLAIN, reflectance: float = 0.3) -> Mesh:
    """A mesh of one material."""
    count = len(triangles)
    return Mesh(
        np.asarray(vertices, np.float32),
        np.asarray(triangles, np.uint32),
        np.tile(np.asarray(colour, np.float32), (count, 1)),
        np.full(count, reflectance, np.float32),
        np.full(count, surface, np.uint8),
    )


_BOX = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4]]
_BOX += [[1, 5, 7], [1, 7, 3]]


def frustum(base: tuple[float, float], top: tuple[float, float], low: float, high: float, centre=(0.0, 0.0), shift=0.0, **look):
    """A box whose top (length, width) differs from its base and is shifted along x: cabins, roofs, buckets."""
    vertices = [
        (centre[0] + x * size[0] / 2 + offset, centre[1] + y * size[1] / 2, z)
        for x in (-1, 1)
        for y in (-1, 1)
        for size, z, offset in ((base, low, 0.0), (top, high, shift))
    ]
    return uniform_mesh(vertices, _BOX, **look)


def box(size: tuple[float, float, float], centre: tuple[float, float, float], **look) -> Mesh:
    """An upright box by its size and its centre."""
    length, width, height = size
    x, y, z = centre
    return frustum((length, width), (length, width), z - height / 2, z + height / 2, (x, y), **look)


def extrude(profile: Sequence[tuple[float, float]], width: float, y: float = 0.0, **look) -> Mesh:
    """A convex outline in (x, z) drawn out across `width`: the side view of a body."""
    count = len(profile)
    vertices = [(x, y + side * width / 2, z) for side in (-1, 1) for x, z in profile]
    caps = [(0, i, i + 1) for i in range(1, count - 1)]
    sides = [(i, (i + 1) % count, i + count) for i in range(count)]
    sides += [((i + 1) % count, (i + 1) % count + count, i + count) for i in range(count)]
    return uniform_mesh(vertices, caps + [(a + count, b + count, c + count) for a, b, c in caps] + sides, **look)


def cylinder(radius: float, length: float, centre, axis: str = "z", sides: int = 8, taper: float = 1.0, **look) -> Mesh:
    """A cylinder, or a cone where `taper` (end radius over start radius) is small, about `axis`."""
    angles = 2 * math.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(angles), np.sin(angles), np.zeros(sides)], 1) * radius
    start, end = ring - [0, 0, length / 2], ring * [taper, taper, 1] + [0, 0, length / 2]
    vertices = np.concatenate([start, end, [[0, 0, -length / 2], [0, 0, length / 2]]])
    vertices = vertices[:, {"z": [0, 1, 2], "x": [2, 0, 1], "y": [1, 2, 0]}[axis]] + np.asarray(centre)
    low, high = 2 * sides, 2 * sides + 1
    triangles = []
    for i in range(sides):
        j = (i + 1) % sides
        triangles += [(i, j, i + sides), (j, j + sides, i + sides), (low, i, j), (high, i + sides, j + sides)]
    return uniform_mesh(vertices, triangles, **look)


def tube(start, end, radius: float, **look) -> Mesh:
    """A thin square bar between two points: frames, limbs, booms."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = (end - start) / np.linalg.norm(end - start)
    side = np.cross(along, (0, 1, 0) if abs(along[1]) < 0.9 else (1, 0, 0))
    side /= np.linalg.norm(side)
    other = np.cross(along, side)
    vertices = [point + radius * (i * side + j * other) for i in (-1, 1) for j in (-1, 1) for point in (start, end)]
    return uniform_mesh(vertices, _BOX, **look)


def blob(radii: tuple[float, float, float], centre, rings: int = 3, sides: int = 6, **look) -> Mesh:
    """A coarse ellipsoid: heads, crowns of trees."""
    vertices = [(0.0, 0.0, -1.0)]
    for ring in range(1, rings + 1):
        polar = math.pi * ring / (rings + 1)
        vertices += [
            (math.sin(polar) * math.cos(a), math.sin(polar) * math.sin(a), -math.cos(polar))
            for a in 2 * math.pi * (np.arange(sides) + 0.5 * (ring % 2)) / sides
        ]
    vertices.append((0.0, 0.0, 1.0))
    triangles = []
    for i in range(sides):
        j = (i + 1) % sides
        triangles.append((0, 1 + j, 1 + i))
        for ring in range(rings - 1):
            a, b = 1 + ring * sides, 1 + (ring + 1) * sides
            triangles += [(a + i, a + j, b + i), (a + j, b + j, b + i)]
        triangles.append((len(vertices) - 1, 1 + (rings - 1) * sides + i, 1 + (rings - 1) * sides + j))
    return uniform_mesh(np.asarray(vertices) * radii + np.asarray(centre), triangles, **look)
