# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A calibrated camera whose lens bends straight lines: the distortion models of CameraInfo."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np

from ..rig import CameraMount
from .pinhole import NEAREST, Pinhole

_ITERATIONS = 40
FOLDED = 1e-2
"""Where a pixel's ray lies further [rad] from the point, the lens model folds back there: the point is not in the image."""


@dataclass(frozen=True, slots=True)
class DistortedCamera(Pinhole):
    """`lens` is one of rig.LENSES and `distortion` holds its coefficients, as in CameraInfo; pixels are those of the image."""

    lens: str = "plumb_bob"
    distortion: tuple[float, ...] = ()

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As Pinhole.project; a point outside what the lens model covers gets a pixel outside the image. A fisheye lens may also
        see points beside the image plane, whose depth is then their distance."""
        seen = points @ self.from_base[:3, :3].T + self.from_base[:3, 3]
        depth = seen[:, 2]
        if not len(points):
            return np.zeros((0, 2)), depth
        if self.lens == "equidistant":
            away = np.maximum(np.linalg.norm(seen, axis=1), 1e-9)
            flat = np.hypot(seen[:, 0], seen[:, 1])
            angle = np.arctan2(flat, depth)
            scale = _fisheye_radius(angle, self.distortion) / np.maximum(flat, 1e-9)
            pixels = (seen[:, :2] * scale[:, None]) @ self.matrix[:2, :2].T + self.matrix[:2, 2]
            depth = away
        else:
            front = np.where(depth[:, None] > NEAREST, seen, [0.0, 0.0, 1.0])
            bent = cv2.projectPoints(front, np.zeros(3), np.zeros(3), self.matrix, np.array(self.distortion))[0]
            pixels = bent.reshape(-1, 2)
        true = points - self.position
        near = self.inside(pixels, depth)
        rays = self.rays(pixels[near])
        apart = np.linalg.norm(np.cross(rays, true[near] / np.linalg.norm(true[near], axis=1, keepdims=True)), axis=1)
        pixels[np.nonzero(near)[0][~(apart < FOLDED)]] = -1e6
        return pixels, depth

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Unit vectors [n, 3] of the base frame through pixels [n, 2] of the distorted image."""
        pixels = np.asarray(pixels, dtype=float).reshape(-1, 2)
        if not len(pixels):
            return np.zeros((0, 3))
        if self.lens == "equidistant":
            flat = (pixels - self.matrix[:2, 2]) / np.diag(self.matrix)[:2]
            radius = np.hypot(flat[:, 0], flat[:, 1])
            angle = _fisheye_angle(radius, self.distortion)
            sideways = flat * (np.sin(angle) / np.maximum(radius, 1e-12))[:, None]
            seen = np.concatenate([sideways, np.cos(angle)[:, None]], axis=1)
        else:
            flat = _undistorted(pixels, self.matrix, np.array(self.distortion))
            seen = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
        rays = seen @ self.from_base[:3, :3]
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _undistorted(pixels: np.ndarray, matrix: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Pixels [n, 2] -> x and y [n, 2] of their rays at depth 1."""
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, _ITERATIONS, 1e-12)
    if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4: undistortPoints has no criteria there
        found = cv2.undistortPointsIter(pixels[:, None], matrix, coefficients, None, None, stop)
    else:
        found = cv2.undistortPoints(pixels[:, None], matrix, coefficients, None, None, None, stop)
    return found.reshape(-1, 2)


def mounted_camera(mount: CameraMount, width: int, height: int) -> Pinhole:
    """The camera that a rig describes, for images of this size: by its calibration, or by its field of view alone."""
    plain, known = Pinhole.of_mount(mount, width, height), mount.calibration
    if known is None:
        return plain
    across, down = width / known.size[0], height / known.size[1]
    matrix = np.eye(3)
    matrix[0, 0], matrix[1, 1] = known.focal[0] * across, known.focal[1] * down
    matrix[0, 2], matrix[1, 2] = known.centre[0] * across, known.centre[1] * down
    if known.distortion or known.lens == "equidistant":
        return DistortedCamera(matrix, plain.from_base, plain.size, known.lens, known.distortion)
    return dataclasses.replace(plain, matrix=matrix)


def _fisheye_radius(angle: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Distance from the principal point, in focal lengths, of rays at `angle` [rad] from the axis (OpenCV's fisheye model)."""
    square = angle * angle
    k1, k2, k3, k4 = (*coefficients, 0.0, 0.0, 0.0, 0.0)[:4]
    return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))


def _fisheye_angle(radius: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """The inverse of `_fisheye_radius` by Newton's method. OpenCV's own inverse ends at 90 degrees from the axis."""
    angle = np.minimum(radius, np.pi)
    k1, k2, k3, k4 = (*coefficients, 0.0, 0.0, 0.0, 0.0)[:4]
    for _ in range(_ITERATIONS):
        square = angle * angle
        slope = 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))
        step = (_fisheye_radius(angle, coefficients) - radius) / np.where(np.abs(slope) > 1e-3, slope, 1e-3)
        angle = np.clip(angle - step, 0.0, np.pi)
    return angle
