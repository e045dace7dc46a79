# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cars, trucks, buses, trailers and construction vehicles in parts, x forward, on the ground."""

from __future__ import annotations

from .mesh import Colour, Mesh, box, cylinder, extrude, frustum, tube
from .shape_parts import DARK, GLASS, PAINT, RUBBER, STEEL, Figure, lamps, wheels


def _car(length: float, width: float, height: float, hood: float, cabin: tuple[float, float], boot: float) -> list[Mesh]:
    """A car by its hood height, its cabin from x to x (as parts of the length) and the height of its tail."""
    half, belt = length / 2, max(hood, boot)
    body = [(-half, 0.3), (half - 0.1, 0.3), (half, 0.5), (half - 0.06, hood - 0.12), (cabin[1] * length, hood)]
    body += [(cabin[0] * length, boot), (-half + 0.03, boot - 0.05)]
    start, end = cabin[0] * length, cabin[1] * length
    middle, span = (start + end) / 2, end - start
    roof = (span * 0.62, width * 0.76)
    glass = frustum((span, width * 0.94), roof, belt - 0.04, height - 0.06, (middle, 0), -0.03 * length, **GLASS)
    top = frustum(
        (roof[0] * 1.04, roof[1] * 1.04),
        (roof[0] * 0.9, roof[1] * 0.88),
        height - 0.08,
        height,
        (middle - 0.03 * length, 0),
        **PAINT,
    )
    post = frustum((0.09, width * 0.95), (0.09, width * 0.79), belt - 0.04, height - 0.08, (middle - 0.01 * length, 0), **PAINT)
    sill = box((length * 0.96, width * 0.98, 0.16), (0, 0, 0.3), **DARK)
    grille = box((0.05, width * 0.5, 0.14), (half, 0, 0.58), **DARK)
    rest = [*wheels([-0.29 * length, 0.31 * length], width, 0.33), *lamps(half - 0.02, -half, width, (hood + 0.45) / 2 + 0.05)]
    return [extrude(body, width, **PAINT), glass, top, post, sill, grille, *rest]


def cars() -> list[Figure]:
    """Three cars and a van."""
    van = [(-2.3, 0.35), (2.25, 0.35), (2.35, 0.95), (1.55, 1.2), (1.0, 1.95), (-2.25, 1.95), (-2.35, 1.8)]
    hull = [extrude(van, 1.95, **PAINT)]
    hull.append(extrude([(1.62, 1.2), (1.14, 1.86), (1.08, 1.82), (1.5, 1.2)], 1.7, **GLASS))
    sides = [box((3.0, 1.98, 0.5), (-0.5, 0, 1.5), **GLASS), box((0.06, 1.6, 0.5), (-2.34, 0, 1.5), **GLASS)]
    return [
        ("sedan", _car(4.7, 1.85, 1.45, 0.92, (-0.34, 0.2), 0.98), ""),
        ("hatchback", _car(4.0, 1.75, 1.5, 0.95, (-0.49, 0.2), 0.98), ""),
        ("suv", _car(4.7, 1.95, 1.8, 1.08, (-0.49, 0.2), 1.1), ""),
        (
            "van",
            [*hull, *sides, *wheels([-1.4, 1.45], 1.95, 0.35), *lamps(2.32, -2.34, 1.95, 0.8)],
            "",
        ),
    ]


def _cab(x: float, width: float, height: float) -> list[Mesh]:
    """A truck's cab whose front is at x."""
    outline = [(x - 1.9, 0.5), (x, 0.5), (x, 1.5), (x - 0.2, height), (x - 1.9, height)]
    screen = extrude([(x + 0.03, 1.6), (x - 0.12, height - 0.35), (x - 0.3, height - 0.35), (x - 0.3, 1.6)], width * 0.9, **GLASS)
    doors = box((0.8, width + 0.04, 0.7), (x - 0.8, 0, height - 0.75), **GLASS)
    bumper = box((0.2, width, 0.35), (x, 0, 0.6), **DARK)
    mirrors = [box((0.1, 0.2, 0.5), (x - 0.15, side * (width / 2 + 0.15), height - 0.8), **DARK) for side in (-1, 1)]
    return [extrude(outline, width, **PAINT), screen, doors, bumper, *mirrors]


def trucks() -> list[Figure]:
    """Box truck, tipper, tanker and pickup."""
    chassis = box((7.6, 0.9, 0.3), (0, 0, 0.8), **DARK)
    under = [*wheels([-2.9, -1.9, 2.9], 2.4, 0.5), *lamps(4.03, -3.95, 2.4, 0.85, 0.22)]
    cargo = [box((5.6, 2.5, 2.5), (-1.1, 0, 2.3), **PAINT), box((0.05, 2.2, 2.2), (-3.92, 0, 2.3), **STEEL)]
    ribs = [box((0.1, 2.56, 2.54), (x, 0, 2.3), **STEEL) for x in (-3.87, -1.1, 1.67)]
    tipper = frustum((4.8, 2.1), (5.6, 2.5), 1.1, 2.4, (-1.2, 0), **PAINT)
    load = frustum((5.2, 2.2), (2.0, 0.6), 2.38, 2.9, (-1.2, 0), colour=(0.2, 0.13, 0.07))
    tank = cylinder(1.15, 5.4, (-1.1, 0, 2.1), "x", 12, **PAINT)
    bands = [cylinder(1.18, 0.15, (x, 0, 2.1), "x", 12, **STEEL) for x in (-3.0, 0.8)]
    pickup = [(-2.7, 0.5), (2.7, 0.5), (2.75, 1.0), (1.3, 1.12), (-2.7, 1.12)]
    bed = [
        box((2.1, 1.6, 0.06), (-1.55, 0, 1.13), **DARK),
        *(box((2.2, 0.1, 0.2), (-1.55, s * 0.92, 1.2), **PAINT) for s in (-1, 1)),
    ]
    crew = [
        frustum((2.3, 1.85), (1.5, 1.55), 1.1, 1.85, (0.55, 0), -0.1, **GLASS),
        box((1.5, 1.58, 0.08), (0.45, 0, 1.88), **PAINT),
    ]
    return [
        ("box truck", [chassis, *under, *_cab(4.0, 2.4, 2.6), *cargo, *ribs], ""),
        ("tipper", [chassis, *under, *_cab(4.0, 2.4, 2.7), tipper, load], ""),
        ("tanker", [chassis, *under, *_cab(4.0, 2.4, 2.6), tank, *bands], ""),
        (
            "pickup",
            [extrude(pickup, 1.95, **PAINT), *bed, *crew, *wheels([-1.7, 1.75], 1.95, 0.42), *lamps(2.73, -2.72, 1.95, 0.85)],
            "",
        ),
    ]


def _bus(length: float, height: float, decks: list[float], stripe: Colour) -> list[Mesh]:
    half = length / 2
    body = box((length, 2.5, height - 0.4), (0, 0, height / 2 + 0.2), **PAINT)
    panes = []
    for deck in decks:
        count = int(length / 1.5)
        pitch = (length - 0.6) / count
        panes += [box((pitch - 0.25, 2.54, 0.85), (-half + 0.3 + pitch * (i + 0.5), 0, deck), **GLASS) for i in range(count)]
        panes += [box((0.06, 2.2, 0.95), (half, 0, deck - 0.05), **GLASS), box((0.06, 1.9, 0.6), (-half, 0, deck + 0.1), **GLASS)]
    door = [box((1.1, 0.06, 2.0), (x, -1.26, 1.35), **GLASS) for x in (half - 1.0, -0.4)]
    sign = box((0.06, 1.6, 0.25), (half + 0.01, 0, height - 0.25), colour=(0.9, 0.45, 0.05))
    band = box((length + 0.02, 2.53, 0.22), (0, 0, 0.95), colour=stripe)
    return [
        body,
        *panes,
        *door,
        sign,
        band,
        *wheels([-0.28 * length, 0.32 * length], 2.5, 0.48),
        *lamps(half + 0.01, -half - 0.01, 2.5, 0.75, 0.24),
    ]


def buses() -> list[Figure]:
    """City bus, double decker and minibus."""
    return [
        ("city bus", _bus(11.0, 3.1, [2.05], (0.5, 0.5, 0.5)), ""),
        ("double decker", _bus(10.0, 4.3, [1.9, 3.5], (0.2, 0.2, 0.2)), ""),
        ("minibus", _bus(7.2, 2.75, [1.9], (0.6, 0.6, 0.6)), ""),
    ]


def _tracks(length: float) -> list[Mesh]:
    outline = [(-length / 2, 0.25), (-length / 2 + 0.3, 0), (length / 2 - 0.3, 0), (length / 2, 0.25)]
    outline += [(length / 2, 0.55), (length / 2 - 0.3, 0.8), (-length / 2 + 0.3, 0.8), (-length / 2, 0.55)]
    return [extrude(outline, 0.55, y, **RUBBER) for y in (-1.05, 1.05)]


def machines() -> list[Figure]:
    """Construction vehicles: excavator, wheel loader and roller."""
    house = [box((2.6, 2.4, 0.9), (-0.6, 0, 1.4), **PAINT), box((0.7, 2.4, 0.7), (-1.7, 0, 1.9), **DARK)]
    cabin = [box((1.2, 0.95, 1.3), (0.1, 0.7, 2.45), **GLASS), box((1.3, 1.05, 0.1), (0.1, 0.7, 3.12), **PAINT)]
    boom = [tube((0.5, -0.2, 1.7), (2.4, -0.2, 4.1), 0.22, **PAINT), tube((2.4, -0.2, 4.1), (4.2, -0.2, 2.4), 0.18, **PAINT)]
    bucket = frustum((0.9, 1.0), (0.4, 1.0), 0.9, 2.1, (4.0, -0.2), 0.2, **STEEL)
    loader = [
        box((3.6, 1.5, 1.0), (-0.7, 0, 1.5), **PAINT),
        box((1.5, 1.4, 1.2), (-0.3, 0, 2.5), **GLASS),
        box((1.6, 1.5, 0.12), (-0.3, 0, 3.15), **PAINT),
    ]
    arms = [tube((0.8, y, 1.6), (2.6, y, 0.8), 0.15, **PAINT) for y in (-0.6, 0.6)]
    scoop = extrude([(2.5, 0.2), (3.6, 0.15), (2.9, 1.3), (2.5, 1.2)], 2.6, **STEEL)
    drum = cylinder(0.75, 2.1, (1.7, 0, 0.75), "y", 14, **STEEL)
    roller = [box((2.6, 1.7, 0.9), (-1.0, 0, 1.35), **PAINT), tube((-0.3, 0, 1.2), (1.7, 0, 1.6), 0.25, **PAINT)]
    canopy = [
        box((1.7, 1.6, 0.12), (-0.7, 0, 2.8), **PAINT),
        *(tube((-0.7 + dx, dy, 1.7), (-0.7 + dx, dy, 2.8), 0.05, **DARK) for dx in (-0.75, 0.75) for dy in (-0.7, 0.7)),
    ]
    return [
        ("excavator", [*_tracks(3.6), *house, *cabin, *boom, bucket, *lamps(0.75, -2.05, 2.2, 1.3)], ""),
        ("wheel loader", [*loader, *arms, scoop, *wheels([-1.9, 1.2], 2.4, 0.75), *lamps(1.15, -2.52, 1.6, 1.5)], ""),
        ("roller", [*roller, *canopy, drum, *wheels([-1.6], 2.0, 0.7), *lamps(0.35, -2.32, 1.8, 1.3)], ""),
    ]


def trailers() -> list[Figure]:
    """Semi-trailer, log trailer and a small box trailer."""
    bogie = [*wheels([-3.6, -2.4], 2.4, 0.5), *(tube((3.2, y, 0.1), (3.2, y, 1.2), 0.08, **STEEL) for y in (-0.6, 0.6))]
    frame = [box((9.6, 1.0, 0.3), (0, 0, 1.0), **DARK), *lamps(4.85, -4.85, 2.4, 0.9, 0.22)[1:-1]]
    walls = [
        box((9.6, 2.5, 2.5), (0, 0, 2.4), **PAINT),
        *(box((0.12, 2.56, 2.54), (x, 0, 2.4), **STEEL) for x in (-4.7, -2.3, 0.0, 2.3, 4.7)),
    ]
    deck = box((9.6, 2.5, 0.15), (0, 0, 1.2), **PAINT)
    logs = [
        cylinder(0.4, 8.2, (0, y, z), "x", 8, colour=(0.24, 0.13, 0.06))
        for y, z in ((-0.8, 1.7), (0, 1.7), (0.8, 1.7), (-0.4, 2.4), (0.4, 2.4))
    ]
    stakes = [tube((x, y, 1.2), (x, y, 2.6), 0.06, **STEEL) for x in (-3.5, 0, 3.5) for y in (-1.2, 1.2)]
    drawbar = [tube((1.6, y, 0.5), (3.2, 0, 0.45), 0.06, **STEEL) for y in (-0.6, 0.6)]
    small = [
        box((3.2, 1.8, 1.5), (0, 0, 1.35), **PAINT),
        box((3.22, 1.82, 0.12), (0, 0, 0.8), **STEEL),
        *wheels([-0.2], 1.9, 0.33),
    ]
    return [
        ("semi-trailer", [*frame, *bogie, *walls], ""),
        ("log trailer", [*frame, *bogie, deck, *logs, *stakes], ""),
        ("box trailer", [*small, *drawbar, *lamps(1.6, -1.62, 1.8, 0.7)[1:-1]], ""),
    ]
