# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest lidar sweep among frames that come one after the other."""

from __future__ import annotations

import numpy as np

from ..datatypes import NANOSECONDS, Frame, LidarScan
from ..rig import Rig
from .frames import points_in_base

SWEEP_GAP = NANOSECONDS // 4
"""A sweep gives ranges to an image whose stamp differs by no more than this [ns]."""


class NewestSweep:
    """Keeps the newest sweep of the lidar of `rig`."""

    def __init__(self, rig: Rig) -> None:
        self._mount = rig.lidar
        self._newest: LidarScan | None = None

    def take(self, frame: Frame) -> None:
        """Keep `frame` if it is a sweep."""
        if isinstance(frame, LidarScan):
            self._newest = frame

    def at(self, stamp: int) -> np.ndarray | None:
        """Points float32 [n, 3] in the base frame of the sweep near `stamp` [ns]; None without one."""
        if self._newest is None or abs(self._newest.stamp - stamp) > SWEEP_GAP:
            return None
        return points_in_base(self._newest.points, self._mount)[:, :3]
