# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Projects lidar points into the cameras and colours them, which makes wrong mounts in a rig file visible."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..io.serialization import camera_rotation
from ..rig import CameraMount

NEAREST = 0.3
"""Points closer to a camera than this [m] are not projected."""


def colour_points(points: np.ndarray, images: Mapping[CameraMount, np.ndarray]) -> np.ndarray:
    """uint8 [n, 3] RGB for points [n, 4] in the base frame: from the first camera that sees the point, else grey by height.

    `images` are uint8 [h, w, 3] RGB of cameras without distortion. Dark colours are lightened for a dark background.
    """
    grey = np.clip(70.0 + 40.0 * points[:, 2], 60.0, 200.0).astype(np.uint8)
    colours = np.repeat(grey[:, None], 3, axis=1)
    open_ = np.arange(len(points))
    for mount, image in images.items():
        height, width = image.shape[:2]
        seen = (points[open_, :3] - np.float32(mount.position)) @ camera_rotation(mount).astype(np.float32)
        ahead = seen[:, 2] > NEAREST
        depth = np.where(ahead, seen[:, 2], 1.0)
        focal = mount.focal_length(width)
        column = focal * seen[:, 0] / depth + width / 2
        row = focal * seen[:, 1] / depth + height / 2
        inside = ahead & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        pixels = image[row[inside].astype(np.int32), column[inside].astype(np.int32)]
        colours[open_[inside]] = 50 + pixels // 5 * 4
        open_ = open_[~inside]
    return colours
