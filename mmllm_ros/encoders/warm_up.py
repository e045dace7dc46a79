# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The first passes of an encoder, on a synthetic frame: they warm up the device and measure the cost of a frame."""

from __future__ import annotations

import time

import numpy as np

from ..datatypes import GRAVITY, CameraFrame, Frame, ImuWindow, LidarScan
from .base import Encoder

PASSES = 3


def encoding_cost(encoder: Encoder, source: str) -> float:
    """The shortest time [s] of a few passes on a synthetic frame of `source`, 0 for a modality without one."""
    # A part of the universal encoder makes its own frame; its class is not imported here, because it imports transformers.
    example = getattr(encoder, "example", None)
    frame = example(source) if example else _synthetic_frame(encoder.modality, source)
    if frame is None:
        return 0.0
    spent = []
    for _ in range(PASSES):
        began = time.monotonic()
        encoder.encode([(frame, frame)])
        spent.append(time.monotonic() - began)
    return min(spent)


def _synthetic_frame(modality: str, source: str) -> Frame | None:
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
