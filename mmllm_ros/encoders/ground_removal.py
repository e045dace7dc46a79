# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Height of lidar points over the ground, which may slope and bend: lowest points are followed outwards in each direction.

As Himmelsbach et al., "Fast segmentation of 3D point clouds for ground vehicles" (IV 2010), with lowest points in place of fitted
lines, so that it works where far rings lie metres apart.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

DIRECTIONS, STEPS, STEP = 180, 64, 1.0
"""Directions around the vehicle, and steps outwards in each of them of so many metres."""
RISE, FALL = (0.10, 0.12), (0.25, 0.30)
"""From one known place to the next the ground rises and falls by so much for each metre between them, and so many metres more, at
most."""
STEEPEST = 0.6
"""Largest rise [m] from one known place to the next, however far apart they are: more is the side of an object."""


def ground_heights(points: np.ndarray) -> np.ndarray:
    """z [n] of the ground below points [n, 3+] of the base frame [m], whose origin lies on the ground."""
    distance = np.hypot(points[:, 0], points[:, 1])
    direction = ((np.arctan2(points[:, 1], points[:, 0]) + math.pi) / (2 * math.pi) * DIRECTIONS).astype(int) % DIRECTIONS
    step = (distance / STEP).astype(int).clip(0, STEPS - 1)
    place = direction * STEPS + step
    lowest = np.full(DIRECTIONS * STEPS, np.inf)
    used = distance < STEPS * STEP
    np.minimum.at(lowest, place[used], points[used, 2])
    lowest = lowest.reshape(DIRECTIONS, STEPS)
    # Beside an object, ground is often visible only in the next direction.
    lowest = np.minimum(lowest, np.minimum(np.roll(lowest, 1, 0), np.roll(lowest, -1, 0)))
    ground = _followed(lowest).astype(np.float32)
    around = np.concatenate([ground[-4:], ground, ground[:4]])
    smooth = cv2.GaussianBlur(cv2.medianBlur(around, 5), (0, 0), 1.0)[4:-4]
    return smooth.ravel()[place]


def _followed(lowest: np.ndarray) -> np.ndarray:
    """Heights of the ground [DIRECTIONS, STEPS] from those of the lowest points, infinite where there are none."""
    height, since = np.zeros(DIRECTIONS), np.zeros(DIRECTIONS)
    known = np.zeros(lowest.shape, bool)
    for step in range(STEPS):
        outwards = (step + 0.5) * STEP - since
        rise = lowest[:, step] - height
        known[:, step] = (rise < np.minimum(RISE[0] * outwards + RISE[1], STEEPEST)) & (rise > -FALL[0] * outwards - FALL[1])
        height = np.where(known[:, step], lowest[:, step], height)
        since = np.where(known[:, step], (step + 0.5) * STEP, since)
    steps = np.arange(STEPS)
    return np.stack(
        [np.interp(steps, np.r_[-1, steps[seen]], np.r_[0.0, row[seen]]) for row, seen in zip(lowest, known, strict=True)]
    )
