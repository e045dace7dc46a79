# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which clusters of a lidar sweep move: are they where an earlier sweep has them, once the vehicle's own motion is undone?

The own motion comes from correlative scan matching as in scan_matching.py, here on a map of distances to the earlier sweep's
standing points, which needs no rings: it serves any lidar.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ..datatypes import NANOSECONDS
from .clusters import HIGH, LOW, REACH, Clusters
from .ground_removal import ground_heights
from .scan_matching import MAX_FORWARD, MAX_YAW, move_back

CELL, FARTHEST = 0.1, 2.0
"""Cells of the map and largest distance in it [m]."""
GAPS = (0.15, 1.0)
"""Shortest and longest time between two sweeps that are compared [s]."""
TOLERANCE = 0.25
"""Two sweeps fit where points lie no farther apart [m]."""
POINTS, CLUSTER_POINTS = 400, 48
"""Points of a sweep and of a cluster that are matched."""
SPEED = 15.0
"""Highest speed of a moving object that is searched for [m/s]."""
COST = 0.01
"""What each metre of displacement costs in fit: of two that fit as well the shorter one is taken."""
FEATURES = 8
"""Numbers by which motion is told."""
_SIDE = round(2 * REACH / CELL)
_STEPS, _COUNTS = ((0.5, 0.025), (0.125, 0.00625), (0.03, 0.0015)), (160, POINTS, POINTS)
"""Steps forward [m] and in yaw [rad] of three searches for the own motion, and their points."""


def standing_points(points: np.ndarray) -> np.ndarray:
    """x and y float32 [m, 2] of the points [n, 3+] of the base frame that are above the ground and below crowns of trees."""
    near = points[(np.abs(points[:, :2]) < REACH).all(1)]
    heights = near[:, 2] - ground_heights(near)
    return np.ascontiguousarray(near[(heights > LOW) & (heights < HIGH), :2], np.float32)


class DistanceMap:
    """The distance [m] of any place to the nearest of some points [n, 2], at most FARTHEST."""

    def __init__(self, points: np.ndarray) -> None:
        free = np.full((_SIDE, _SIDE), 255, np.uint8)
        row, column = ((points + REACH) / CELL).astype(int).clip(0, _SIDE - 1).T
        free[row, column] = 0
        far = cv2.distanceTransform(free, cv2.DIST_L2, 3) * CELL if len(points) else np.full(free.shape, FARTHEST)
        self._distance = np.minimum(far, FARTHEST).astype(np.float32).ravel()

    def fit(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """How well points [..., n] fit, 0 to 1, [...]."""
        row, column = (((part + REACH) / CELL).astype(np.int32).clip(0, _SIDE - 1) for part in (x, y))
        return np.exp(-np.square(self._distance[row * _SIDE + column] / TOLERANCE)).mean(-1)


def own_motion(now: np.ndarray, before: DistanceMap) -> tuple[float, float, float]:
    """The motion of the vehicle since the sweep of `before`, forward [m] and yaw [rad], and how well it fits, 0 to 1.

    `now` [n, 2] are the standing points of the newer sweep.
    """
    rng = np.random.default_rng(0)
    chosen = now[rng.permutation(len(now))[:POINTS]]
    if not len(chosen):
        return 0.0, 0.0, 0.0
    forward, yaw = np.arange(-1.0, MAX_FORWARD + 0.1, _STEPS[0][0]), np.arange(-MAX_YAW, MAX_YAW + 0.01, _STEPS[0][1])
    best, fit = (0.0, 0.0), 0.0
    for count, finer in zip(_COUNTS, (*_STEPS[1:], (0.0, 0.0)), strict=True):
        grid = np.stack(np.meshgrid(forward, yaw, indexing="ij"), -1).reshape(-1, 2)
        x, y = _moved_back(chosen[:count], grid[:, :1], grid[:, 1:])
        fits = before.fit(x, y) - COST * np.abs(grid[:, 0]) / MAX_FORWARD
        best, fit = tuple(grid[fits.argmax()]), float(fits.max())
        near = np.arange(-4, 5)
        forward, yaw = best[0] + near * finer[0], best[1] + near * finer[1]
    return float(best[0]), float(best[1]), fit


def _moved_back(points: np.ndarray, forward: np.ndarray, yaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of points [n, 2] before the vehicle moved by `forward` and `yaw` [k, 1], [k, n] each."""
    parts = (points[:, 0], points[:, 1], forward, yaw)
    return tuple(part.numpy() for part in move_back(*(torch.from_numpy(np.asarray(part, np.float32)) for part in parts)))


def motion_features(points: np.ndarray, found: Clusters, chosen: np.ndarray, before: np.ndarray, gap: float) -> np.ndarray:
    """What tells whether clusters move, float32 [k, FEATURES].

    Args:
        points: of the newer sweep, float32 [n, 3+] of the base frame.
        found: its clusters; `chosen` [k] are the numbers of those that are asked for.
        before: standing points of the earlier sweep, [m, 2].
        gap: time between the sweeps [s].
    """
    earlier = DistanceMap(before)
    standing = (found.heights > LOW) & (found.heights < HIGH)
    forward, yaw, own = own_motion(points[standing, :2], earlier)
    rows = []
    reach = SPEED * gap
    coarse, fine = np.arange(-reach, reach + 0.2, 0.4), np.arange(-0.4, 0.41, 0.1)
    for number in chosen:
        places = points[found.member == number, :2]
        places = places[:: -(-len(places) // CLUSTER_POINTS)]
        x, y = (part[0] for part in _moved_back(places, np.array([[forward]]), np.array([[yaw]])))
        still = float(earlier.fit(x, y))
        best, shift = still, np.zeros(2)
        if still < 0.9:
            for steps in (coarse, fine):
                grid = shift + np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
                fits = earlier.fit(x + grid[:, :1], y + grid[:, 1:]) - COST * np.hypot(*grid.T)
                shift = grid[fits.argmax()]
                best = max(float(fits.max()), best)
        speed, away = float(np.hypot(*shift)) / gap, float(np.hypot(*found.centres[number]))
        counted = math.log(found.counts[number])
        rows.append([still, best, best - still, math.log1p(speed), own, counted, math.log1p(away), abs(forward) / gap / 10.0])
    return np.array(rows, np.float32).reshape(-1, FEATURES)


def usable_gap(newest: int, previous: int) -> float | None:
    """The time between two stamps [ns] in seconds, None where sweeps so far apart are not compared."""
    gap = (newest - previous) / NANOSECONDS
    return gap if GAPS[0] <= gap <= GAPS[1] else None


class MotionClassifier(nn.Module):
    """Motion features [k, FEATURES] and probabilities [k, 10] of CATEGORIES -> logit [k] that the object moves."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.layers = nn.Sequential(nn.Linear(FEATURES + 10, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        scaled = ((features - self.mean) * self.scale).clamp(-5.0, 5.0)
        return self.layers(torch.cat([scaled, classes], dim=1)).squeeze(1)
