# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the cameras and the lidar show now, for pictures: taken from DDS only when somebody wants to look."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from ..datatypes import BadInput
from ..rig import CameraMount, LidarMount, Rig
from .messages import frame_from_message
from .newest import NewestSubscription


class Views:
    """The newest view of every camera and lidar of a rig, on subscriptions that cost nothing until `look`."""

    def __init__(self, node: Node, rig: Rig) -> None:
        self.images: dict[str, np.ndarray] = {}
        self.points: np.ndarray | None = None
        self._sensors: list[tuple[str, CameraMount | LidarMount, NewestSubscription]] = []
        for mount in rig.cameras:
            compressed = node.resolve_topic_name(mount.topic).endswith("/compressed")
            subscription = NewestSubscription(node, CompressedImage if compressed else Image, mount.topic)
            self._sensors.append((mount.name, mount, subscription))
        if rig.lidar:
            self._sensors.append(("lidar", rig.lidar, NewestSubscription(node, PointCloud2, rig.lidar.topic)))

    def look(self) -> None:
        """Bring `images` and `points` up to date; what sends nothing new, or something unreadable, stays as it was."""
        for name, mount, subscription in self._sensors:
            if (taken := subscription.take()) is None:
                continue
            try:
                frame = frame_from_message(taken[0], name, mount)
            except BadInput:
                continue  # its encoder counts and reports it
            if isinstance(mount, LidarMount):
                self.points = frame.points
            else:
                self.images[name] = frame.image

    def destroy(self) -> None:
        """Stop receiving."""
        for _, _, subscription in self._sensors:
            subscription.destroy()
