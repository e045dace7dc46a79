# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera or a lidar of an encoder node: the worker takes the newest message when it needs one."""

from __future__ import annotations

from rclpy.node import Node

from ...datatypes import BadInput
from ...encoders.base import History
from ...rig import CameraMount, LidarMount
from ..ros_support.latest_message import LatestMessageSubscription
from ..ros_support.messages import frame_from_message
from .sensor_source import SensorSource


class FrameSource(SensorSource):
    """A sensor whose every message is a frame: the worker takes the newest one when it needs one."""

    def __init__(self, node: Node, modality: str, name: str, mount: CameraMount | LidarMount, kind: type) -> None:
        super().__init__(node, modality, name)
        self._mount = mount
        self._history = History()
        self._subscription = LatestMessageSubscription(node, kind, mount.topic)
        self.link = self._subscription.link

    def poll(self) -> None:
        taken = self._subscription.take()
        if taken is None:
            return
        message, since = taken
        try:
            frame = frame_from_message(message, self.name, self._mount)
        except BadInput as error:
            self.refuse(error)
            return
        if self._newest and frame.stamp == self._newest.stamp:
            return
        self._accepted(message.header.frame_id)
        self.tempo.add(frame.stamp, since)
        self._newest = frame
        self.pair = self._history.pair(frame)

    def forget(self) -> None:
        super().forget()
        self._history = History()

    def counts(self) -> dict[str, int]:
        subscription = self._subscription
        return {"publishers": subscription.publishers, "taken": subscription.taken, "passed over": subscription.passed_over}
