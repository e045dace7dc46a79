# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An endless town: a grid of streets with crossings and signals, and the blocks of buildings, trees and poles between them.

Axis 0 streets run along x at y = k * pitch[1]; axis 1 streets run along y at x = k * pitch[0]. Everything is a function of
the seed and the position, so a block does not depend on the path of the vehicle.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from .mesh import Mesh, Surface, blob, box, cylinder, extrude, frustum, join, tube, uniform_mesh

LANE = 3.5
PARKING = 2.6
SIDEWALK = 3.0
STOP_LINE = SIDEWALK + 1.8
"""From the edge of the crossing to the middle of the stop line [m]."""

CYCLE = (7.0, 3.0, 10.0)
"""Seconds of green, yellow and red."""

_POLE = {"colour": (0.12, 0.13, 0.13), "reflectance": 0.4}


@dataclass(frozen=True, slots=True)
class Town:
    """Layout drawn from a seed: `pitch` between streets [m], lanes for each direction, brightness of street lights."""

    seed: int
    pitch: tuple[float, float]
    lanes: int
    street_light: float
    greenery: float
    height: float

    @classmethod
    def from_seed(cls, seed: int) -> Town:
        """Draw a town."""
        rng = np.random.default_rng([seed, 1])
        pitch = (float(rng.uniform(76, 110)), float(rng.uniform(76, 110)))
        lit = float(rng.uniform(0.5, 1.0)) if rng.random() < 0.7 else 0.0
        return cls(seed, pitch, int(rng.integers(1, 3)), lit, float(rng.uniform(0.1, 1.0)), float(rng.uniform(5.0, 18.0)))

    @property
    def half(self) -> float:
        """Half the width of a street, parking strip included [m]."""
        return self.lanes * LANE + PARKING

    def place(self, axis: int, street: int, along: float, right: float, heading: int) -> tuple[float, float, float]:
        """x, y, yaw of a point `along` a street, `right` of its middle for traffic that goes `heading` (+1 or -1)."""
        if axis == 0:
            return along, street * self.pitch[1] - heading * right, 0.0 if heading > 0 else math.pi
        return street * self.pitch[0] + heading * right, along, heading * math.pi / 2

    def lane(self, number: int) -> float:
        """How far right of the street's middle lane `number` runs, 0 the innermost."""
        return (number + 0.5) * LANE

    def next_crossing(self, axis: int, along: float, heading: int) -> int:
        """Number of the first crossing whose middle lies ahead."""
        ratio = along / self.pitch[axis]
        return math.floor(ratio) + 1 if heading > 0 else math.ceil(ratio) - 1

    def signal(self, axis: int, street: int, crossing: int, seconds: float) -> str | None:
        """State of the light for traffic on `axis` where `street` meets `crossing`, None where there is no light."""
        key = (crossing, street) if axis == 0 else (street, crossing)
        rng = np.random.default_rng([self.seed, 2, key[0] & 0xFFFF, key[1] & 0xFFFF])
        if rng.random() < 0.12:
            return None
        green, yellow, red = CYCLE
        phase = (seconds + rng.uniform(0, sum(CYCLE)) + axis * red) % sum(CYCLE)
        return "green" if phase < green else "yellow" if phase < green + yellow else "red"

    def signal_place(self, axis: int, street: int, crossing: int, heading: int) -> tuple[float, float, float]:
        """Where the lamp post for traffic that goes `heading` stands: x, y, yaw."""
        along = crossing * self.pitch[axis] - heading * (self.half + 0.4)
        return self.place(axis, street, along, self.half + 0.5, heading)

    def block(self, column: int, row: int) -> Mesh:
        """Buildings, trees and street lights of one block, in world coordinates."""
        rng = np.random.default_rng([self.seed, 3, column & 0xFFFF, row & 0xFFFF])
        parts = [*self._buildings(column, row, rng), *self._trees(column, row, rng), *self._posts(column, row)]
        return join(parts)

    def _sides(self, column: int, row: int) -> list[tuple[float, float, float, float]]:
        """The four sides of a lot: start x, y, yaw along it (the street is on its right), length."""
        edge = self.half + SIDEWALK
        x0, y0 = column * self.pitch[0] + edge, row * self.pitch[1] + edge
        x1, y1 = (column + 1) * self.pitch[0] - edge, (row + 1) * self.pitch[1] - edge
        long, wide = x1 - x0, y1 - y0
        return [(x0, y0, 0.0, long), (x1, y0, math.pi / 2, wide), (x1, y1, math.pi, long), (x0, y1, -math.pi / 2, wide)]

    def _buildings(self, column: int, row: int, rng: np.random.Generator) -> list[Mesh]:
        parts = []
        for x, y, yaw, length in self._sides(column, row):
            cursor = rng.uniform(0, 5)
            while cursor < length - 16:
                width, depth = rng.uniform(8, 18), rng.uniform(7, 11)
                if rng.random() < 0.85:
                    building = _building(width, depth, self.height * rng.uniform(0.6, 1.6), rng)
                    along, back = cursor + width / 2, depth / 2 + rng.uniform(0.3, 4.0)
                    c, s = math.cos(yaw), math.sin(yaw)
                    parts.append(building.placed(x + c * along - s * back, y + s * along + c * back, yaw))
                cursor += width + rng.uniform(1, 7)
        return parts

    def _trees(self, column: int, row: int, rng: np.random.Generator) -> list[Mesh]:
        parts = []
        for x, y, yaw, length in self._sides(column, row):
            for along in np.arange(rng.uniform(2, 8), length, rng.uniform(8, 14)):
                if rng.random() > self.greenery:
                    continue
                size, tree = rng.uniform(0.7, 1.3), _tree(bool(rng.random() < 0.3), int(rng.integers(4)))
                right = -rng.uniform(-0.2, 0.5)
                c, s = math.cos(yaw), math.sin(yaw)
                parts.append(
                    tree.placed(x + c * along - s * right, y + s * along + c * right, rng.uniform(0, 6), 0.0, (size, size, size))
                )
        return parts

    def _posts(self, column: int, row: int) -> list[Mesh]:
        parts = []
        for axis, street, first in ((0, row, column), (1, column, row)):
            for step in range(3):
                along = self.pitch[axis] * (first + (step + 0.5) / 3)
                for heading in (-1, 1):
                    x, y, yaw = self.place(axis, street, along, self.half + 0.5, heading)
                    parts.append(_STREET_LIGHT.placed(x, y, yaw))
        return parts

    def lamp_light(self, points: np.ndarray) -> np.ndarray:
        """Illuminance [N] under the street lights at points [N, 3], in units where noon is about 1.5."""
        total = np.zeros(len(points), np.float32)
        if self.street_light == 0:
            return total
        for axis in (0, 1):
            step, across = self.pitch[axis] / 3, self.pitch[1 - axis]
            along = np.mod(points[:, axis], step) - step / 2
            side = np.mod(points[:, 1 - axis] + across / 2, across) - across / 2
            up = np.maximum(5.9 - points[:, 2], 0.5)
            near = along**2 + (np.abs(side) - self.half + 1.0) ** 2 + up**2
            far = along**2 + (np.abs(side) + self.half - 1.0) ** 2 + up**2
            total += up * (near**-1.5 + far**-1.5)
        return (self.street_light * 9.0) * total


def _building(width: float, depth: float, height: float, rng: np.random.Generator) -> Mesh:
    grey, warm = rng.uniform(0.12, 0.5), rng.uniform(-0.25, 0.35)
    colour = (grey * (1 + warm), grey, grey * (1 - warm))
    look = {"colour": colour, "surface": Surface.FACADE, "reflectance": float(0.2 + 0.5 * grey)}
    if height < 8:
        roof = {"colour": (0.25 * rng.uniform(0.6, 1.2), 0.09, 0.06), "reflectance": 0.25}
        gable = extrude([(-depth / 2 - 0.4, height), (depth / 2 + 0.4, height), (0, height + depth * 0.4)], width + 0.4, **roof)
        return join([box((width, depth, height), (0, 0, height / 2), **look), gable.placed(0, 0, math.pi / 2)])
    top = box((width * 0.4, depth * 0.4, 2.0), (0, 0, height + 1), colour=(0.2, 0.2, 0.2))
    rim = box((width + 0.3, depth + 0.3, 0.4), (0, 0, height), colour=(grey * 0.7, grey * 0.7, grey * 0.7))
    return join([box((width, depth, height), (0, 0, height / 2), **look), top, rim])


@functools.cache
def _tree(conifer: bool, shade: int) -> Mesh:
    tint = 0.7 + 0.2 * shade
    trunk = tube((0, 0, 0), (0.05, 0, 2.6), 0.14, colour=(0.09, 0.06, 0.035), reflectance=0.25)
    leaf = {"colour": (0.05 * tint, 0.13 * tint, 0.02), "reflectance": 0.4}
    if conifer:
        cones = [cylinder(r, 3.0, (0, 0, z), "z", 6, 0.1, **leaf) for r, z in ((1.5, 2.9), (1.0, 4.8))]
        return join([trunk, *cones])
    return join([trunk, blob((1.6, 1.6, 1.5), (0, 0, 3.9), **leaf), blob((1.1, 1.2, 1.0), (0.6, 0.4, 4.8), 2, 6, **leaf)])


_STREET_LIGHT = join(
    [
        tube((0, 0, 0), (0, 0, 6.0), 0.07, **_POLE),
        tube((0, 0, 6.0), (0, 1.5, 6.2), 0.05, **_POLE),
        box((0.35, 0.7, 0.12), (0, 1.6, 6.15), colour=(0.8, 0.75, 0.6), surface=Surface.STREET),
    ]
)


def _signal_head() -> Mesh:
    parts = [box((0.3, 0.55, 1.5), (0, 1.9, 3.4), colour=(0.015, 0.015, 0.015))]
    parts.append(box((0.04, 0.85, 1.8), (0.05, 1.9, 3.4), colour=(0.03, 0.03, 0.03)))
    for surface, z, colour in (
        (Surface.RED, 3.88, (0.08, 0.01, 0.01)),
        (Surface.YELLOW, 3.4, (0.08, 0.06, 0.01)),
        (Surface.GREEN, 2.92, (0.01, 0.07, 0.03)),
    ):
        parts.append(cylinder(0.22, 0.04, (-0.17, 1.9, z), "x", 10, colour=colour, surface=surface))
        parts.append(frustum((0.2, 0.44), (0.2, 0.3), z + 0.2, z + 0.24, (-0.24, 1.9), colour=(0.015, 0.015, 0.015)))
    return join(parts)


SIGNAL = _signal_head()
"""The traffic light: its lamps look towards -x, at traffic that drives along +x."""

SIGNAL_POST = join([tube((0, 0, 0), (0, 0, 4.1), 0.08, **_POLE), tube((0, 0, 4.0), (0, 1.9, 4.0), 0.06, **_POLE)])
"""The post of the traffic light."""

SIGNAL_HEAD = (0.0, 1.9, 3.4)
"""The middle of the lamps in the mesh's own axes [m]."""


def ground(x: float, y: float, reach: float = 400.0) -> Mesh:
    """A flat square around (x, y); its colours are procedural."""
    corners = [(x - reach, y - reach, 0), (x + reach, y - reach, 0), (x + reach, y + reach, 0), (x - reach, y + reach, 0)]
    return uniform_mesh(corners, [(0, 1, 2), (0, 2, 3)], (0.1, 0.1, 0.1), Surface.GROUND, 0.15)
