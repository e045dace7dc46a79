# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lidar points above the ground -> clusters that touch, and the shape of each cluster in numbers that any lidar gives alike."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from .ground_removal import ground_heights

REACH, CELL = 40.0, 0.2
"""Half the side of the map in which points are joined [m], and its cells [m]."""
LOW, HIGH = 0.3, 2.3
"""Heights over the ground [m] between which points are joined: crowns of trees and bridges join nothing."""
SPARSE = (12.0, 25.0)
"""Ranges [m] from which on a gap of one cell is bridged, with fewer than DENSE rings and with more."""
DENSE = 48
FEWEST, MOST = 5, 96
"""Points that a cluster has at least, and how many clusters are looked at, nearest first."""
LONGEST = 20.0
"""A longer cluster [m] is no single object."""
EGO = (-1.5, 4.0, 1.1)
"""Returns of the vehicle itself: between two x, and at most so far to each side [m]."""
_SIDE = round(2 * REACH / CELL)
_SLICES = (0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.3)
FEATURES = 2 + 4 + len(_SLICES) - 1 + 9 + 6
"""Numbers of a shape."""
_SAMPLE = 400
"""A shape is measured by so many of its points at most."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """k clusters of one sweep.

    `shapes` float32 [k, FEATURES] are inputs of a classifier. `centres` [k, 2] are the middles of the tightest rectangles around
    the clusters [m], `counts` [k] the numbers of points. `member` int [n] is each point's cluster, -1 for none, and `heights` [n]
    its height over the ground [m], -inf outside of the map.
    """

    shapes: np.ndarray
    centres: np.ndarray
    counts: np.ndarray
    member: np.ndarray
    heights: np.ndarray


def clusters(points: np.ndarray, rings: int = 64) -> Clusters:
    """The clusters of a sweep: points float32 [n, 3+] of the base frame [m], from a lidar of `rings` rings."""
    x, y = np.ascontiguousarray(points[:, :2].T)
    own = (x > EGO[0]) & (x < EGO[1]) & (np.abs(y) < EGO[2])
    near = ~own & (np.abs(x) < REACH - CELL) & (np.abs(y) < REACH - CELL)
    heights = np.full(len(points), -np.inf, np.float32)
    heights[near] = points[near, 2] - ground_heights(points[near])
    body = np.flatnonzero(near & (heights > LOW) & (heights < HIGH))
    labels = _joined(x[body], y[body], rings)
    order = np.argsort(labels, kind="stable")
    parts = np.split(body[order], np.nonzero(np.diff(labels[order]))[0] + 1) if len(order) else []
    found = [(part, *_rectangle(points[part, :2])) for part in parts if len(part) >= FEWEST]
    found = [item for item in found if item[2][0] <= LONGEST]
    nearest = [float(np.hypot(x[part], y[part]).min()) for part, *_ in found]
    found = [found[index] for index in np.argsort(nearest)[:MOST]]
    member = np.full(len(points), -1)
    for number, (part, *_) in enumerate(found):
        member[part] = number
    centres = np.array([centre for _, centre, _, _ in found]).reshape(-1, 2)
    counts = np.array([len(part) for part, *_ in found], int)
    shapes = np.zeros((0, FEATURES), np.float32)
    if found:
        # The points of each cluster, thinned out, one cluster after the other.
        samples = [part[:: -(-len(part) // _SAMPLE)] for part, *_ in found]
        group = _Groups(np.repeat(np.arange(len(found)), [len(sample) for sample in samples]))
        chosen = np.concatenate(samples)
        over = _heights_above(x, y, heights)[_cells(x[chosen], y[chosen])]
        rectangles = np.array([(*size, turn) for _, _, size, turn in found])
        shapes = _shapes(group, x[chosen], y[chosen], heights[chosen], over, centres, rectangles, counts)
    return Clusters(shapes, centres, counts, member, heights)


def _cells(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(((part + REACH) / CELL).astype(int).clip(0, _SIDE - 1) for part in (x, y))


def _joined(x: np.ndarray, y: np.ndarray, rings: int) -> np.ndarray:
    """A number for each point [n], the same for points in cells that touch."""
    row, column = _cells(x, y)
    taken = np.zeros((_SIDE, _SIDE), np.uint8)
    taken[row, column] = 1
    middle = (np.arange(_SIDE) + 0.5) * CELL - REACH
    far = np.hypot(middle[:, None], middle[None]) > SPARSE[rings >= DENSE]
    taken = np.where(far, cv2.dilate(taken, np.ones((3, 3), np.uint8)), taken)
    return cv2.connectedComponents(taken, connectivity=8)[1][row, column]


def _heights_above(x: np.ndarray, y: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """The largest height over the ground [m] in each cell of the map."""
    standing = np.flatnonzero(heights > LOW)
    row, column = _cells(x[standing], y[standing])
    tallest = np.zeros((_SIDE, _SIDE), np.float32)
    np.maximum.at(tallest, (row, column), heights[standing].clip(max=8.0))
    return tallest


def _rectangle(places: np.ndarray) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Middle, length and width [m], and the direction of the length [rad] of the tightest rectangle around points [n, 2]."""
    centre, (one, other), degrees = cv2.minAreaRect(places.astype(np.float32))
    turn = math.radians(degrees if one >= other else degrees + 90.0)
    return centre, (max(one, other), min(one, other)), turn


class _Groups:
    """Statistics by cluster of values of points [n], for `number` [n], each point's cluster, ascending."""

    def __init__(self, number: np.ndarray) -> None:
        self.number = number
        self.starts = np.r_[0, np.flatnonzero(np.diff(number)) + 1]
        self.counts = np.diff(np.r_[self.starts, len(number)])

    def mean(self, values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values.astype(float), self.starts) / self.counts

    def high(self, values: np.ndarray) -> np.ndarray:
        return np.maximum.reduceat(values, self.starts)

    def low(self, values: np.ndarray) -> np.ndarray:
        return np.minimum.reduceat(values, self.starts)


def _shapes(
    group: _Groups,
    x: np.ndarray,
    y: np.ndarray,
    heights: np.ndarray,
    over: np.ndarray,
    centres: np.ndarray,
    rectangles: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """Shapes float32 [k, FEATURES] of clusters.

    Args:
        group, x, y, heights, over: of their points: cluster, place, height over the ground, and the largest height over the
            ground in the point's cell [m].
        centres, rectangles, counts: of the clusters: middle [k, 2], length, width [m] and direction [rad] [k, 3], points [k].
    """
    (length, width, turn), away = rectangles.T, np.hypot(*centres.T)
    c, s, number = np.cos(turn), np.sin(turn), group.number
    dx, dy = x - centres[number, 0], y - centres[number, 1]
    along, across = c[number] * dx + s[number] * dy, c[number] * dy - s[number] * dx
    sides = np.minimum(length[number] / 2 - np.abs(along), width[number] / 2 - np.abs(across))
    # The two sides that face the lidar.
    facing = [-np.sign(centres[:, 0] * a + centres[:, 1] * b)[number] for a, b in ((c, s), (-s, c))]
    faced = np.minimum(length[number] / 2 - facing[0] * along, width[number] / 2 - facing[1] * across)
    slices = [group.mean((heights >= low) & (heights < high)) for low, high in itertools.pairwise(_SLICES)]
    upper = heights > 1.0
    extents = [
        (group.high(np.where(upper, part, -LONGEST)) - group.low(np.where(upper, part, LONGEST))).clip(min=0.0)
        for part in (along, across)
    ]
    row, column = _cells(x, y)
    used = np.unique((number * _SIDE + row) * _SIDE + column)
    area = np.bincount(used // (_SIDE * _SIDE), minlength=len(away)) * CELL * CELL
    middles = [group.mean(part) for part in (along, across, heights)]
    apart = [part - middle[number] for part, middle in zip((along, across, heights), middles, strict=True)]
    spread = np.array([[group.mean(one * other) for other in apart] for one in apart]).transpose(2, 0, 1)
    spread = np.linalg.eigvalsh(spread).clip(min=0.0)[:, ::-1] ** 0.5
    # How deep beams go in beside others of the same direction: far in leaves, hardly on a wall.
    ranges = np.hypot(x, y)
    beam = np.round(np.remainder(np.arctan2(y, x) - np.arctan2(*centres.T[::-1])[number] + math.pi, math.tau) / 0.008).astype(int)
    _, beam = np.unique(number * 1024 + beam, return_inverse=True)
    first = np.full(beam.max() + 1, np.inf)
    np.minimum.at(first, beam, ranges)
    deeper = ranges - first[beam]
    return np.stack(
        [
            np.log(away + 1),
            np.abs(np.cos(turn - np.arctan2(centres[:, 1], centres[:, 0]))),
            np.log(length + 0.1),
            np.log(width + 0.1),
            group.high(heights),
            group.low(heights),
            *slices,
            group.mean(sides < 0.15),
            group.mean(faced < 0.2),
            group.mean(over),
            group.high(over),
            *extents,
            np.log(area / (length * width + 0.04)),
            group.mean(deeper),
            group.mean(deeper**2) ** 0.5,
            *spread.T,
            (spread[:, 1] - spread[:, 2]) / (spread[:, 0] + 1e-3),
            group.mean(heights**2) - middles[2] ** 2,
            np.log(counts * away * away),
        ],
        axis=1,
    ).astype(np.float32)
