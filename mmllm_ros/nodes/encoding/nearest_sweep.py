# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The lidar sweep that gives ranges to what a camera shows."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2

from ...datatypes import BadInput
from ...io.recorded_sweeps import NewestSweep
from ...rig import Rig
from ..ros_support.messages import frame_from_message
from ..ros_support.polled_subscription import PolledSubscription


class NearestSweep:
    """The newest sweep of the lidar of `rig`, which has one."""

    def __init__(self, node: Node, rig: Rig) -> None:
        self._node, self._mount = node, rig.lidar
        self._subscription = PolledSubscription(node, PointCloud2, rig.lidar.topic)
        self._newest = NewestSweep(rig)

    def at(self, stamp: int) -> np.ndarray | None:
        """Points float32 [n, 3] in the base frame of the sweep near `stamp` [ns]; None without one."""
        if taken := self._subscription.take():
            try:
                self._newest.take(frame_from_message(taken[0], "lidar", self._mount))
            except BadInput as error:
                self._node.get_logger().warning(f"{self._mount.topic}: no ranges: {error}", throttle_duration_sec=5.0)
        return self._newest.at(stamp)
