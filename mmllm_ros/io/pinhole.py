# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A calibrated camera without distortion: pixels to rays and points to pixels, in the base frame."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from ..rig import CameraMount

NEAREST = 0.1
"""Points nearer to the image plane than this [m] have no pixel."""


@dataclass(frozen=True, slots=True)
class Pinhole:
    """One camera. `matrix` is K [3, 3] in pixels; `from_base` [4, 4] turns base coordinates into the optical frame
    (x right, y down, z forward); `size` is width and height in pixels."""

    matrix: np.ndarray
    from_base: np.ndarray
    size: tuple[int, int]

    @classmethod
    def of_mount(cls, mount: CameraMount, width: int, height: int) -> Pinhole:
        """The camera by its field of view alone: square pixels, principal point in the middle of the image."""
        focal = width / 2 / math.tan(mount.fov / 2)
        matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        yaw, pitch = mount.bearing, mount.pitch
        forward = np.array([math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch)])
        right = np.array([math.sin(yaw), -math.cos(yaw), 0.0])
        turn = np.stack([right, np.cross(forward, right), forward])
        from_base = np.eye(4)
        from_base[:3, :3], from_base[:3, 3] = turn, -turn @ np.array(mount.position)
        return cls(matrix, from_base, (width, height))

    @property
    def position(self) -> np.ndarray:
        """The camera's centre in the base frame, [3] in metres."""
        return -self.from_base[:3, :3].T @ self.from_base[:3, 3]

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points [n, 3] of the base frame -> pixels [n, 2] (not clipped to the image) and depths [n] in metres.

        A point behind the camera has a depth of less than NEAREST, and a pixel that means nothing.
        """
        seen = points @ self.from_base[:3, :3].T + self.from_base[:3, 3]
        depth = seen[:, 2]
        flat = seen @ self.matrix.T
        return flat[:, :2] / np.maximum(depth, NEAREST)[:, None], depth

    def inside(self, pixels: np.ndarray, depths: np.ndarray) -> np.ndarray:
        """Which projected points lie in the image, bool [n]."""
        width, height = self.size
        across = (pixels[:, 0] >= 0) & (pixels[:, 0] < width)
        return (depths > NEAREST) & across & (pixels[:, 1] >= 0) & (pixels[:, 1] < height)

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Unit vectors [n, 3] of the base frame through pixels [n, 2]."""
        flat = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)
        rays = flat @ np.linalg.inv(self.matrix).T @ self.from_base[:3, :3]
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)

    def cropped(self, left: float, top: float, width: int, height: int) -> Pinhole:
        """The camera whose image is a part of this one's."""
        matrix = self.matrix.copy()
        matrix[0, 2] -= left
        matrix[1, 2] -= top
        return dataclasses.replace(self, matrix=matrix, size=(width, height))
