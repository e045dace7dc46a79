# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the cameras and the lidar show now, for pictures: taken from DDS only when somebody wants to look."""

from __future__ import annotations

from collections import deque

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from ...datatypes import BadInput, LidarScan
from ...rig import CameraMount, LidarMount, Rig
from ..ros_support.latest_message import LatestMessageSubscription
from ..ros_support.messages import frame_from_message


class Views:
    """The newest view of every camera and lidar of a rig, on subscriptions that nothing tends until `look`."""

    def __init__(self, node: Node, rig: Rig) -> None:
        self.images: dict[str, np.ndarray] = {}
        self.scan: LidarScan | None = None
        self._sensors: deque[tuple[str, CameraMount | LidarMount, LatestMessageSubscription]] = deque()
        for mount in rig.cameras:
            compressed = node.resolve_topic_name(mount.topic).endswith("/compressed")
            subscription = LatestMessageSubscription(node, CompressedImage if compressed else Image, mount.topic)
            self._sensors.append((mount.name, mount, subscription))
        if rig.lidar:
            self._sensors.append(("lidar", rig.lidar, LatestMessageSubscription(node, PointCloud2, rig.lidar.topic)))

    @property
    def points(self) -> np.ndarray | None:
        """Of the newest sweep, as in LidarScan."""
        return self.scan.points if self.scan else None

    def look(self, limit: float = float("inf")) -> None:
        """Bring `images` and `scan` up to date; what sends nothing new, or something unreadable, stays as it was.

        After `limit` bytes it leaves off, and goes on there the next time: a message costs what it weighs.
        """
        taken_bytes = 0
        for _ in range(len(self._sensors)):
            name, mount, subscription = self._sensors[0]
            self._sensors.rotate(-1)
            if (taken := subscription.take()) is None:
                continue
            taken_bytes += len(taken[0].data)
            try:
                frame = frame_from_message(taken[0], name, mount)
            except BadInput:
                continue  # its encoder counts and reports it
            if isinstance(frame, LidarScan):
                self.scan = frame
            else:
                self.images[name] = frame.image
            if taken_bytes >= limit:
                break

    def destroy(self) -> None:
        """Stop receiving."""
        for _, _, subscription in self._sensors:
            subscription.destroy()
