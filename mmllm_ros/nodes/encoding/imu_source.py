# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The IMU of an encoder node: a callback keeps every sample of the last second."""

from __future__ import annotations

import threading

from rclpy.node import Node
from sensor_msgs.msg import Imu

from ...datatypes import BadInput, Health
from ...io.frames import ImuBuffer
from ...rig import ImuMount
from ..ros_support.diagnostics import Link
from ..ros_support.latest_message import OVERRIDABLE, sensor_data
from ..ros_support.messages import imu_from_message
from .sensor_source import SensorSource


class ImuSource(SensorSource):
    """An IMU, whose every sample counts: a callback keeps the last second, the worker takes the window."""

    def __init__(self, node: Node, modality: str, name: str, mount: ImuMount) -> None:
        super().__init__(node, modality, name)
        self.link = Link(node.resolve_topic_name(mount.topic))
        self._mount = mount
        self._buffer = ImuBuffer(name)
        self._lock = threading.Lock()
        self._taken = self._late = 0
        # Not 1: at 400 Hz samples wait here while another callback runs.
        self._subscription = node.create_subscription(
            Imu,
            mount.topic,
            self._on_sample,
            sensor_data(100),
            event_callbacks=self.link.callbacks(),
            qos_overriding_options=OVERRIDABLE,
        )

    def _on_sample(self, message: Imu) -> None:
        if not self.listening:
            return
        try:
            stamp, sample = imu_from_message(message, self._mount)
        except BadInput as error:
            self.refuse(error)
            return
        with self._lock:
            self._taken += 1
            if self._buffer.push(stamp, sample):
                self.tempo.add(stamp)
                self._accepted(message.header.frame_id)
            else:
                self._late += 1

    def poll(self) -> None:
        with self._lock:
            window = self._buffer.window()
        if window is not None and (self._newest is None or window.stamp != self._newest.stamp):
            self._newest = window
            self.pair = (window, None)

    def health(self, stale_after: float, cost: float = 0.0) -> Health:
        with self._lock:
            return super().health(stale_after, cost)

    def forget(self) -> None:
        with self._lock:
            super().forget()
            self._buffer.clear()

    def counts(self) -> dict[str, int]:
        return {"publishers": self._subscription.get_publisher_count(), "taken": self._taken, "late or twice": self._late}
