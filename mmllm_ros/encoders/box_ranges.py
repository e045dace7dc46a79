# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far the object in a box is: from lidar points in the box where there are any, else from its ground contact and its usual
size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..io.distorted_camera import DistortedCamera
from ..io.pinhole import Pinhole

HEIGHTS = (3.3, 1.55, 3.0, 3.6, 2.7, 1.5, 1.5, 1.72, 0.8, 1.0)
"""Usual height [m] of each of CATEGORIES; a bicycle or motorcycle with its rider is about 1.7."""
HEIGHT_SPREAD = (0.12, 0.10, 0.25, 0.2, 0.25, 0.15, 0.15, 0.10, 0.2, 0.15)
"""Standard deviation of its natural logarithm."""
DEPTHS = (2.5, 1.2, 1.8, 2.5, 1.8, 0.35, 0.4, 0.15, 0.1, 0.25)
"""How far [m] an object's centre lies behind the surface that faces a sensor, on average."""
_SMALLEST = int(np.argmin(DEPTHS))
_ANY_RANGE = 10.0, 1.0
"""Range [m] and the spread of its logarithm of a thing of which nothing is known."""
LEAST_POINTS = 4
GAP = 0.8
"""Points of one object lie, sorted by range, no farther [m] from each other than this."""
AGREEMENT = 0.4
"""How well the size's range and that of a cluster of points agree where they are of one object, standard deviation of log
range."""
PITCH_ERROR = 0.008
"""How well the horizon is known [rad]."""
EDGE = 3.0
"""A box that ends so near [pixels] to the image's border may go on beyond it."""


def project_sweep(points: np.ndarray, camera: Pinhole) -> tuple[np.ndarray, np.ndarray]:
    """The points [n, 3+] of the base frame that the image shows and that are above the ground: pixels [m, 2] and points [m,
    3]."""
    points = points[points[:, 2] > 0.2, :3]
    pixels, depths = camera.project(points)
    inside = camera.inside(pixels, depths)
    return pixels[inside], points[inside]


def box_range(
    corners: np.ndarray, classes: np.ndarray, camera: Pinhole, sweep: tuple[np.ndarray, np.ndarray] | None
) -> tuple[float, float, float, float]:
    """Bearing, elevation [rad], range [m] from the base frame's origin, and the standard deviation of the range's logarithm.

    Args:
        corners: left, top, right, bottom [pixels].
        classes: probabilities of CATEGORIES.
        sweep: what `project_sweep` gives; None = no lidar.
    """
    kind = int(np.argmax(classes))
    sized = _by_size(corners, kind, camera)
    found = _by_points(corners, kind, camera, sweep, sized) if sweep else None
    if found is None:
        found = _combined([sized, _by_ground(corners, camera)])
    away, spread = found
    return *_place(corners, camera, away), spread


def place_of_unknown(
    corners: np.ndarray, camera: Pinhole, sweep: tuple[np.ndarray, np.ndarray] | None
) -> tuple[float, float | None]:
    """Bearing [rad] and range [m] as `box_range` gives them of a thing of no known size; None where neither lidar points nor the
    ground tell the range."""
    ground = _by_ground(corners, camera)
    found = _by_points(corners, _SMALLEST, camera, sweep, ground or _ANY_RANGE) if sweep else None
    found = found or ground
    bearing, _, distance = _place(corners, camera, found[0] if found else _ANY_RANGE[0])
    return bearing, distance if found else None


def _place(corners: np.ndarray, camera: Pinhole, away: float) -> tuple[float, float, float]:
    """Bearing, elevation [rad] and range [m] from the base frame's origin of what is `away` [m] from the camera."""
    middle = np.array([[(corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2]])
    ray = camera.rays(middle)[0]
    place = camera.position + ray * away / max(math.hypot(ray[0], ray[1]), 0.1)
    distance = math.hypot(place[0], place[1])
    return math.atan2(place[1], place[0]), math.atan2(place[2], distance), max(distance, 0.5)


def _by_size(corners: np.ndarray, kind: int, camera: Pinhole) -> tuple[float, float]:
    """Horizontal range from the camera and its log spread by the height of the box."""
    pixels = max(float(corners[3] - corners[1]), 2.0)
    away = float(camera.matrix[1, 1]) * HEIGHTS[kind] / pixels
    if isinstance(camera, DistortedCamera):
        middle = (corners[0] + corners[2]) / 2
        top, bottom = camera.rays(np.array([[middle, corners[1]], [middle, corners[3]]]))
        slopes = [ray[2] / max(math.hypot(ray[0], ray[1]), 1e-6) for ray in (top, bottom)]
        away = HEIGHTS[kind] / max(slopes[0] - slopes[1], 1e-3)
    whole = corners[1] > EDGE and corners[3] < camera.size[1] - EDGE
    return away, math.hypot(HEIGHT_SPREAD[kind], 2.0 / pixels) if whole else 0.7


def _by_ground(corners: np.ndarray, camera: Pinhole) -> tuple[float, float] | None:
    """The same by where the box's lower edge meets flat ground; None at or above the horizon, and where the border hides it."""
    if corners[3] >= camera.size[1] - EDGE:
        return None
    ray = camera.rays(np.array([[(corners[0] + corners[2]) / 2, corners[3]]]))[0]
    flat = math.hypot(ray[0], ray[1])
    fall = math.atan2(-ray[2], flat)
    if fall < 2 * PITCH_ERROR:
        return None
    height = float(camera.position[2])
    return height / math.tan(fall) + 0.5, min(PITCH_ERROR / math.tan(fall) * 1.5 + 0.05, 0.7)


def _combined(estimates: Sequence[tuple[float, float] | None]) -> tuple[float, float]:
    """Ranges weighed by how certain they are, in the logarithm."""
    told = [estimate for estimate in estimates if estimate]
    weights = np.array([spread**-2 for _, spread in told])
    logs = np.log([max(away, 1.0) for away, _ in told])
    middle = float(weights @ logs / weights.sum())
    return math.exp(middle), max(float(weights.sum() ** -0.5), float(np.abs(logs - middle).max()) / 2)


def _by_points(
    corners: np.ndarray, kind: int, camera: Pinhole, sweep: tuple[np.ndarray, np.ndarray], sized: tuple[float, float]
) -> tuple[float, float] | None:
    """The same by the cluster of lidar points in the box that best agrees with the object's size; None without one."""
    pixels, points = sweep
    left, top, right, bottom = corners
    side, down = 0.15 * (right - left), 0.1 * (bottom - top)
    within = (
        (pixels[:, 0] > left + side)
        & (pixels[:, 0] < right - side)
        & (pixels[:, 1] > top + down)
        & (pixels[:, 1] < bottom - down)
    )
    if within.sum() < LEAST_POINTS:
        return None
    away = np.sort(np.hypot(*(points[within, :2] - camera.position[:2]).T))
    clusters = np.split(away, np.nonzero(np.diff(away) > GAP)[0] + 1)
    clusters = [cluster for cluster in clusters if len(cluster) >= LEAST_POINTS]
    if not clusters:
        return None
    sure = math.hypot(AGREEMENT, sized[1])

    def fit(cluster: np.ndarray) -> float:
        apart = math.log(float(np.median(cluster)) / sized[0]) / sure
        # A near surface is hit by more beams: beams per area fall with the square of the range.
        return math.log(len(cluster) * float(np.median(cluster)) ** 2) - 0.5 * apart * apart

    best = max(clusters, key=fit)
    surface = float(np.quantile(best, 0.3))
    return surface + DEPTHS[kind], min(0.5 * (DEPTHS[kind] + 0.2) / surface, 0.1)
