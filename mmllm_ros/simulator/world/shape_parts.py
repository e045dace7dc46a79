# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of many shapes: materials, wheels and lamps."""

from __future__ import annotations

from .mesh import Mesh, Surface, box, cylinder

Figure = tuple[str, list[Mesh], str]
"""A shape in parts: its name, its meshes, and the status that the shape itself shows, else ""."""

RUBBER = {"colour": (0.015, 0.015, 0.015), "reflectance": 0.06}
GLASS = {"colour": (0.03, 0.04, 0.05), "surface": Surface.GLASS, "reflectance": 0.08}
PAINT = {"colour": (0.5, 0.5, 0.5), "surface": Surface.PAINT, "reflectance": 0.45}
DARK = {"colour": (0.05, 0.05, 0.05), "reflectance": 0.12}
STEEL = {"colour": (0.3, 0.3, 0.3), "reflectance": 0.4}
PLATE = {"colour": (0.75, 0.75, 0.7), "reflectance": 1.0}


def wheels(places: list[float], width: float, radius: float) -> list[Mesh]:
    """A pair of wheels with bright hubs at each x."""
    parts = []
    for x in places:
        for side in (-1, 1):
            parts.append(cylinder(radius, 0.24, (x, side * (width / 2 - 0.1), radius), "y", 10, **RUBBER))
            parts.append(cylinder(radius * 0.5, 0.02, (x, side * (width / 2 + 0.03), radius), "y", 6, **STEEL))
    return parts


def lamps(front: float, back: float, width: float, height: float, size: float = 0.16) -> list[Mesh]:
    """Head lights, tail lights and number plates."""
    parts = []
    for side in (-1, 1):
        y = side * (width / 2 - 0.24)
        head, tail = {"colour": (0.8, 0.8, 0.75), "surface": Surface.HEAD}, {"colour": (0.3, 0.01, 0.01), "surface": Surface.TAIL}
        parts.append(box((0.06, 0.36, size), (front, y, height), reflectance=0.6, **head))
        parts.append(box((0.06, 0.34, size), (back, y, height + 0.08), reflectance=0.9, **tail))
    return [
        *parts,
        box((0.04, 0.5, 0.12), (back, 0, height - 0.3), **PLATE),
        box((0.04, 0.5, 0.12), (front, 0, height - 0.3), **PLATE),
    ]
