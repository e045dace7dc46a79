# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""People, cycles, cones and barriers: (name, parts, the status that the shape shows)."""

from __future__ import annotations

import itertools
import math

from .mesh import Colour, Mesh, Surface, blob, box, cylinder, extrude, frustum, tube
from .shape_parts import RUBBER, STEEL, Figure

SKIN = {"colour": (0.45, 0.26, 0.18), "reflectance": 0.35}
CLOTH = {"colour": (0.3, 0.3, 0.3), "surface": Surface.PAINT, "reflectance": 0.3}
TROUSERS = {"colour": (0.03, 0.04, 0.09), "reflectance": 0.2}
HAIR = {"colour": (0.03, 0.02, 0.01), "reflectance": 0.1}
WOOD = {"colour": (0.22, 0.1, 0.04), "reflectance": 0.3}
ORANGE: Colour = (0.9, 0.18, 0.01)
WHITE: Colour = (0.85, 0.85, 0.85)


def _bust(x: float, hip: float, lean: float = 0.0, helmet: bool = False) -> list[Mesh]:
    """Torso, neck and head above a hip at height `hip`, leaning forward by `lean` metres at the shoulder."""
    torso = frustum((0.26, 0.36), (0.28, 0.48), hip, hip + 0.58, (x, 0), lean, **CLOTH)
    head = blob((0.12, 0.11, 0.15), (x + lean * 1.15, 0, hip + 0.78), **SKIN)
    look = {"colour": (0.7, 0.05, 0.05), "reflectance": 0.5} if helmet else HAIR
    cap = blob((0.15, 0.14, 0.12) if helmet else (0.13, 0.12, 0.09), (x + lean * 1.15 - 0.02, 0, hip + 0.86), **look)
    return [torso, head, cap]


def _walker(stride: float, coat: bool) -> list[Mesh]:
    """Someone on two legs; `stride` is how far the feet are apart."""
    hip = 0.88
    parts = _bust(0.0, hip)
    for side in (-1, 1):
        foot = side * stride / 2
        parts.append(tube((0, side * 0.1, hip + 0.05), (foot, side * 0.12, 0.06), 0.085, **TROUSERS))
        parts.append(box((0.26, 0.1, 0.08), (foot + 0.06, side * 0.12, 0.04), **RUBBER))
        hand = (-side * stride * 0.55, side * 0.3, hip + 0.02)
        parts.append(tube((0, side * 0.27, hip + 0.54), hand, 0.055, **CLOTH))
        parts.append(blob((0.06, 0.06, 0.07), hand, rings=2, sides=4, **SKIN))
    if coat:
        parts.append(frustum((0.34, 0.46), (0.27, 0.38), hip - 0.32, hip + 0.05, **CLOTH))
    return parts


def _sitter() -> list[Mesh]:
    parts = _bust(-0.1, 0.48)
    for side in (-1, 1):
        parts.append(tube((-0.1, side * 0.1, 0.52), (0.35, side * 0.12, 0.5), 0.09, **TROUSERS))
        parts.append(tube((0.35, side * 0.12, 0.5), (0.38, side * 0.12, 0.05), 0.075, **TROUSERS))
        parts.append(tube((-0.1, side * 0.27, 1.0), (0.25, side * 0.18, 0.62), 0.055, **CLOTH))
    return parts


def pedestrians() -> list[Figure]:
    """Walking, standing and sitting people."""
    bench = [box((0.45, 1.5, 0.07), (-0.1, 0, 0.43), **WOOD), box((0.07, 1.5, 0.4), (-0.36, 0, 0.72), **WOOD)]
    legs = [box((0.4, 0.08, 0.42), (-0.1, side * 0.6, 0.21), **STEEL) for side in (-1, 1)]
    stool = box((0.45, 0.6, 0.46), (-0.12, 0, 0.23), colour=(0.35, 0.35, 0.33))
    return [
        ("walking", _walker(0.75, False), "moving"),
        ("striding in a coat", _walker(0.55, True), "moving"),
        ("standing", _walker(0.06, False), "standing"),
        ("standing in a coat", _walker(0.1, True), "standing"),
        ("on a bench", [*_sitter(), *bench, *legs], "not standing"),
        ("on a block", [*_sitter(), stool], "not standing"),
    ]


def _rim(x: float, radius: float, thickness: float) -> list[Mesh]:
    """An open wheel: ten bars in a circle, and two spokes."""
    turn = [2 * math.pi * i / 10 for i in range(11)]
    points = [(x + radius * math.cos(a), 0, radius + thickness + radius * math.sin(a)) for a in turn]
    spokes = [tube(points[i], points[i + 5], 0.008, **STEEL) for i in (0, 2)]
    return [tube(a, b, thickness, **RUBBER) for a, b in itertools.pairwise(points)] + spokes


def _rider(seat: tuple[float, float], pedal: tuple[float, float], grip: tuple[float, float], lean: float) -> list[Mesh]:
    """A rider from seat to pedals and grips, each an (x, z)."""
    parts = _bust(seat[0], seat[1], lean, helmet=True)
    for side, drop in ((-1, 0.0), (1, 0.18)):
        knee = (seat[0] + 0.38, side * 0.14, (seat[1] + pedal[1]) / 2 + 0.12 + drop / 2)
        parts.append(tube((seat[0], side * 0.1, seat[1] + 0.04), knee, 0.08, **TROUSERS))
        parts.append(tube(knee, (pedal[0], side * 0.14, pedal[1] + drop), 0.065, **TROUSERS))
        parts.append(tube((seat[0] + lean, side * 0.25, seat[1] + 0.52), (grip[0], side * 0.28, grip[1]), 0.05, **CLOTH))
    return parts


def bicycles() -> list[Figure]:
    """A bicycle alone and ridden, as a racer and as a city bicycle."""
    frame = {"colour": (0.05, 0.15, 0.4), "reflectance": 0.35}
    figures: list[Figure] = []
    for name, seat, grip, lean in (("city bicycle", 0.98, 1.12, 0.1), ("racer", 1.0, 0.95, 0.38)):
        bike = [*_rim(-0.52, 0.32, 0.025), *_rim(0.52, 0.32, 0.025)]
        for start, end in (
            ((-0.52, 0, 0.34), (-0.2, 0, seat - 0.1)),
            ((-0.52, 0, 0.34), (-0.05, 0, 0.3)),
            ((-0.05, 0, 0.3), (-0.2, 0, seat - 0.1)),
            ((-0.05, 0, 0.3), (0.38, 0, 0.78)),
            ((-0.18, 0, seat - 0.2), (0.38, 0, 0.8)),
            ((0.38, 0, grip), (0.52, 0, 0.34)),
        ):
            bike.append(tube(start, end, 0.028, **frame))
        bike.append(tube((0.38, -0.27, grip), (0.38, 0.27, grip), 0.025, **STEEL))
        bike.append(box((0.26, 0.16, 0.07), (-0.2, 0, seat - 0.06), **RUBBER))
        bike.append(box((0.05, 0.08, 0.06), (-0.85, 0, 0.6), colour=(0.3, 0.01, 0.01), surface=Surface.TAIL, reflectance=0.9))
        figures.append((name, bike, "without rider"))
        figures.append((f"{name} ridden", [*bike, *_rider((-0.2, seat), (-0.05, 0.18), (0.38, grip), lean)], "with rider"))
    return figures


def motorcycles() -> list[Figure]:
    """A motorcycle and a scooter, alone and ridden."""
    figures: list[Figure] = []
    for name, scooter in (("motorcycle", False), ("scooter", True)):
        radius = 0.26 if scooter else 0.33
        bike = [cylinder(radius, 0.16, (x, 0, radius), "y", 12, **RUBBER) for x in (-0.68, 0.72)]
        bike += [cylinder(radius * 0.45, 0.18, (x, 0, radius), "y", 6, **STEEL) for x in (-0.68, 0.72)]
        bike.append(tube((0.72, 0, radius), (0.45, 0, 1.05), 0.05, **STEEL))
        bike.append(tube((0.42, -0.36, 1.05), (0.42, 0.36, 1.05), 0.03, **STEEL))
        bike.append(extrude([(-0.95, 0.72), (-0.1, 0.68), (-0.1, 0.8), (-0.9, 0.86)], 0.3, **RUBBER))
        if scooter:
            bike.append(extrude([(-0.95, 0.4), (-0.15, 0.35), (-0.15, 0.7), (-0.95, 0.74)], 0.38, **CLOTH))
            bike.append(extrude([(0.3, 0.3), (0.5, 0.3), (0.55, 0.95), (0.42, 1.0)], 0.42, **CLOTH))
            bike.append(box((0.6, 0.36, 0.08), (0.08, 0, 0.3), **RUBBER))
        else:
            bike.append(extrude([(-0.35, 0.3), (0.3, 0.3), (0.35, 0.6), (-0.3, 0.68)], 0.34, **STEEL))
            bike.append(extrude([(-0.15, 0.68), (0.4, 0.66), (0.42, 0.9), (0.15, 0.98), (-0.12, 0.8)], 0.34, **CLOTH))
            bike.append(tube((-0.2, 0.2, 0.3), (-0.85, 0.2, 0.42), 0.06, **STEEL))
        bike.append(box((0.1, 0.2, 0.18), (0.55, 0, 0.9), colour=(0.8, 0.8, 0.7), surface=Surface.HEAD, reflectance=0.6))
        bike.append(box((0.06, 0.2, 0.1), (-0.98, 0, 0.78), colour=(0.3, 0.01, 0.01), surface=Surface.TAIL, reflectance=0.9))
        figures.append((name, bike, "without rider"))
        figures.append((f"{name} ridden", [*bike, *_rider((-0.4, 0.82), (0.0, 0.3), (0.42, 1.08), 0.2)], "with rider"))
    return figures


def cones() -> list[Figure]:
    """Traffic cones: wide, and tall and slim."""
    figures: list[Figure] = []
    for name, base, height in (("cone", 0.22, 0.75), ("tall cone", 0.16, 1.05)):
        parts = [box((base * 2.4, base * 2.4, 0.06), (0, 0, 0.03), colour=(0.04, 0.04, 0.04))]
        steps = ((0.06, 0.4, ORANGE), (0.4, 0.6, WHITE), (0.6, 0.75, ORANGE), (0.75, 0.88, WHITE), (0.88, 1.0, ORANGE))
        for low, high, colour in steps:
            start, end = base * (1.08 - low * 0.9), base * (1.08 - high * 0.9)
            centre, shine = (0, 0, height * (low + high) / 2), 1.0 if colour is WHITE else 0.5
            parts.append(cylinder(start, height * (high - low), centre, "z", 8, end / start, colour=colour, reflectance=shine))
        figures.append((name, parts, ""))
    return figures


def barriers() -> list[Figure]:
    """A concrete barrier, a striped board on feet, and a water-filled one."""
    concrete = [(-0.3, 0), (0.3, 0), (0.3, 0.15), (0.12, 0.4), (0.09, 0.85), (-0.09, 0.85), (-0.12, 0.4), (-0.3, 0.15)]
    wall = extrude(concrete, 2.6, colour=(0.45, 0.44, 0.42), reflectance=0.35)
    boards = []
    for i in range(10):
        for z in (0.5, 0.92):
            colour = (0.7, 0.03, 0.02) if (i + (z > 0.6)) % 2 else WHITE
            boards.append(box((0.06, 0.22, 0.24), (0, -1.0 + 0.222 * i, z), colour=colour, reflectance=0.9))
    posts = [tube((0, y, 0.05), (0, y, 1.05), 0.035, **STEEL) for y in (-0.9, 0.9)]
    feet = [box((0.6, 0.16, 0.08), (0, y, 0.04), colour=(0.04, 0.04, 0.04)) for y in (-0.9, 0.9)]
    blocks = []
    for i, colour in enumerate(((0.75, 0.05, 0.02), WHITE)):
        outline = [(-0.25, 0), (0.25, 0), (0.14, 0.5), (0.12, 0.8), (-0.12, 0.8), (-0.14, 0.5)]
        blocks.append(extrude(outline, 1.08, -0.55 + 1.1 * i, colour=colour, reflectance=0.5))
    return [("concrete", [wall], ""), ("striped board", [*boards, *posts, *feet], ""), ("plastic", blocks, "")]
