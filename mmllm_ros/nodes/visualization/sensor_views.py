# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The latest camera images and lidar scan, for pictures: taken from DDS only on request."""

from __future__ import annotations

from collections import deque
from functools import partial

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ...datatypes import BadInput, LidarScan
from ...rig import CameraMount, LidarMount, Rig
from ..ros_support.messages import frame_from_message
from ..ros_support.polled_subscription import PolledSubscription
from ..ros_support.sensor_topics import FOLLOW_PERIOD, KINDS, SensorTopic


class SensorViews:
    """The latest image of every camera and the latest scan of the lidar of a rig, as of the last `update`."""

    def __init__(self, node: Node, rig: Rig) -> None:
        self.images: dict[str, np.ndarray] = {}
        self.scan: LidarScan | None = None
        self._sensors: deque[tuple[str, CameraMount | LidarMount, SensorTopic[PolledSubscription]]] = deque()
        self._node = node
        mounts = [(mount.name, mount) for mount in rig.cameras] + ([("lidar", rig.lidar)] if rig.lidar else [])
        for name, mount in mounts:
            topic = SensorTopic(node, KINDS[mount.modality], mount.topic, partial(PolledSubscription, node))
            self._sensors.append((name, mount, topic))
        self._timer = node.create_timer(FOLLOW_PERIOD, self._follow, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._follow()

    @property
    def points(self) -> np.ndarray | None:
        """Points of the latest scan, as in LidarScan."""
        return self.scan.points if self.scan else None

    def update(self, limit: float = float("inf")) -> None:
        """Take new messages into `images` and `scan`; without a new or valid message the old value stays.

        Stops after `limit` bytes of messages and continues with the next sensor in the next call.
        """
        taken_bytes = 0
        for _ in range(len(self._sensors)):
            name, mount, topic = self._sensors[0]
            self._sensors.rotate(-1)
            if topic.subscription is None or (taken := topic.subscription.take()) is None:
                continue
            taken_bytes += len(taken[0].data)
            try:
                frame = frame_from_message(taken[0], name, mount)
            except BadInput:
                continue  # the encoder node counts and reports it
            if isinstance(frame, LidarScan):
                self.scan = frame
            else:
                self.images[name] = frame.image
            if taken_bytes >= limit:
                break

    def destroy(self) -> None:
        """Destroy the subscriptions."""
        self._node.destroy_timer(self._timer)
        for _, _, topic in self._sensors:
            topic.destroy()

    def _follow(self) -> None:
        for _, _, topic in self._sensors:
            topic.follow()
