# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic sensors for tests of encoder nodes, and the diagnostics of those nodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from harness import Ros
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2, PointField

from mmllm_ros.datatypes import NANOSECONDS
from mmllm_ros.nodes.encoding.encoder_node import EncoderNode

rng = np.random.default_rng(0)


def start(ros: Ros, node_class: type[EncoderNode], model: Any, *transitions: str, **parameters: Any) -> EncoderNode:
    """A spinning node after `transitions`, all of which must go well."""
    values = {"model": str(model), "device": "cpu", "rate": 10.0, "health_rate": 10.0, **parameters}
    node = ros.add(node_class(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]))
    assert ros.transit(node, *transitions)
    return node


class Sensor:
    """Publishes messages made by `make`, in the background, until stopped.

    Stamps are the time, or with `first` [ns] whole periods from there on, however late the machine is.
    """

    def __init__(
        self, ros: Ros, topic: str, make: Callable[[], Any], period: float = 0.05, qos: Any = 5, first: int | None = None
    ) -> None:
        self._publisher = ros.publisher(type(make()), topic, qos)
        self._make = make
        self._period = round(period * NANOSECONDS)
        self._first = first
        self._shift = 0
        self._stopped = False
        self.stamps: list[int] = []
        ros.tester.create_timer(period, self._publish)

    def _publish(self) -> None:
        if self._stopped:
            return
        now = time.time_ns() if self._first is None else self._first + len(self.stamps) * self._period
        message = self._make()
        message.header.stamp = Time(sec=(now + self._shift) // NANOSECONDS, nanosec=(now + self._shift) % NANOSECONDS)
        self.stamps.append(now + self._shift)
        self._publisher.publish(message)

    def stop(self) -> None:
        # Not timer.cancel(): the executor may be about to call it, and then raises.
        self._stopped = True

    def go_back(self, seconds: float) -> None:
        self._shift = -round(seconds * NANOSECONDS)


def image(frame_id: str = "front_optical", encoding: str = "rgb8") -> Callable[[], Image]:
    def make() -> Image:
        pixels = rng.integers(0, 256, (40, 80, 3), dtype=np.uint8)
        message = Image(height=40, width=80, encoding=encoding, step=240, data=pixels.tobytes())
        message.header.frame_id = frame_id
        return message

    return make


def compressed() -> CompressedImage:
    file = cv2.imencode(".jpg", rng.integers(0, 256, (40, 80, 3), dtype=np.uint8))[1]
    return CompressedImage(format="jpeg", data=file.tobytes())


def cloud() -> PointCloud2:
    points = rng.uniform(5, 40, (500, 4)).astype(np.float32)
    fields = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate(["x", "y", "z", "intensity"])]
    message = PointCloud2(height=1, width=500, point_step=16, row_step=8000, fields=fields, data=points.tobytes())
    message.header.frame_id = "velodyne"
    return message


def imu() -> Imu:
    message = Imu()
    message.header.frame_id = "imu_link"
    force, rate = rng.normal([0, 0, 9.81], 0.1), rng.normal(0, 0.01, 3)
    message.linear_acceleration.x, message.linear_acceleration.y, message.linear_acceleration.z = force
    message.angular_velocity.x, message.angular_velocity.y, message.angular_velocity.z = rate
    return message


def stamp(message: Any) -> int:
    return message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec


def status_of(diagnostics: list, name: str) -> DiagnosticStatus | None:
    """The newest status of that name."""
    statuses = [status for array in diagnostics[-1:] for status in array.status if status.name == name]
    return statuses[0] if statuses else None


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}
