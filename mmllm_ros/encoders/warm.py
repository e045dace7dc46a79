# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The first passes of an encoder, on a blank frame: they warm the device up, and tell what a frame costs on this machine."""

from __future__ import annotations

import time

import numpy as np

from ..datatypes import GRAVITY, CameraFrame, Frame, ImuWindow, LidarScan
from .base import Encoder

PASSES = 3


def time_one_pass(encoder: Encoder, source: str) -> float:
    """The shortest time [s] of a few passes on a blank frame of `source`, 0 for a modality that nobody has a frame of."""
    frame = _blank(encoder.modality, source)
    if frame is None:
        return 0.0
    spent = []
    for _ in range(PASSES):
        began = time.monotonic()
        encoder.encode([(frame, frame)])
        spent.append(time.monotonic() - began)
    return min(spent)


def _blank(modality: str, source: str) -> Frame | None:
    if modality == "camera":
        return CameraFrame(1, source, np.full((90, 160, 3), 128, np.uint8))
    if modality == "lidar":
        bearing = np.linspace(-np.pi, np.pi, 20_000, dtype=np.float32)
        ring = np.stack([20 * np.cos(bearing), 20 * np.sin(bearing), 0 * bearing, 0 * bearing + 0.3], 1)
        return LidarScan(1, source, np.ascontiguousarray(ring, np.float32))
    if modality == "imu":
        times = np.arange(100, dtype=np.int64) * 10_000_000
        return ImuWindow(int(times[-1]), source, times, np.tile(np.float32([0, 0, GRAVITY, 0, 0, 0]), (100, 1)))
    return None
