# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The sensors of an encoder node: subscription, frame pairs, health and rejected messages of each."""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import Imu

from ...context.health_check import CLOCK_QUESTION
from ...context.sensor_monitor import SensorMonitor
from ...datatypes import NANOSECONDS, BadInput, Frame, Health
from ...io.frames import ImuBuffer
from ...rig import CameraMount, ImuMount, LidarMount
from ..ros_support.diagnostics import Level, Status
from ..ros_support.messages import frame_from_message, imu_from_message
from ..ros_support.polled_subscription import PolledSubscription
from ..ros_support.rejections import Rejections
from ..ros_support.sensor_topics import KINDS, SensorTopic

IMU_DEPTH = 4096
"""Samples that DDS keeps until the worker takes them: four seconds at 1 kHz."""

UNHEARD = 10.0
"""From so long [s] after the start on, a sensor that has a publisher and sent nothing is reported with what may be the cause."""

CLOCK_DELAY = 2 * NANOSECONDS
"""A simulated clock may lag behind the stamps by so long [ns] on a busy machine; a larger offset is a wrong clock."""


class SensorSource(ABC):
    """Base class. Methods are called in the worker's thread, except `status`, which any thread may call.

    `topic` is the name in the rig; `kinds` are the fitting message types, empty = those of the modality.
    """

    def __init__(self, node: Node, modality: str, name: str, topic: str, kinds: Sequence[type] = ()) -> None:
        self.modality = modality
        self.name = name
        self.frame_id = ""
        self.pair: tuple[Frame, Frame | None] | None = None
        """The newest frame and the one FRAME_GAP older; None before the first frame and once the pair is encoded."""
        self.monitor = SensorMonitor(modality, name)
        self.rejections = Rejections()
        self.running = False
        self.topic = SensorTopic(node, kinds or KINDS[modality], topic, self.subscribe)
        self._node = node
        self._arrived = self._repeated_at = self._begun = 0.0
        self.repeated = 0
        self._health: Health | None = None

    @abstractmethod
    def subscribe(self, kind: type, topic: str) -> Any:
        """The subscription to the sensor's messages of type `kind`, see SensorTopic."""

    @abstractmethod
    def poll(self) -> None:
        """Take the newest frame, if there is a new one, and set `pair`."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Numbers of messages, for diagnostics."""

    def begin(self) -> None:
        """Start to take messages, with all counters at zero."""
        self.clear()
        self.rejections = Rejections()
        self._begun = time.monotonic()
        self.running = True

    def end(self) -> None:
        """Stop taking messages and drop the frames. The subscription stays: destroying it breaks an executor that waits."""
        self.running = False
        self.clear()

    def clear(self) -> None:
        """Drop all frames and signals, as after a jump back in time."""
        self.pair = self._health = None
        self.monitor = SensorMonitor(self.modality, self.name, self._node.get_clock().now().nanoseconds)

    def reject(self, error: BadInput) -> None:
        """Count a bad message, and log the reason at most every 5 s."""
        self.rejections.add(error)
        self._node.get_logger().warning(f"{self.topic.subscribed_name}: rejected: {error}", throttle_duration_sec=5.0)

    def health(self, stale_after: float, cost: float = 0.0) -> Health:
        """The health now, see SensorMonitor.health."""
        silence = time.monotonic() - self._arrived
        health = self.monitor.health(self._now(), stale_after, silence, cost, self.rejections.total)
        if not health.healthy and time.monotonic() - self._repeated_at <= stale_after < silence:
            health = dataclasses.replace(health, reason="stamps do not advance, each message repeats the one before")
        elif not health.healthy and (not health.signals or min(health.age, silence) > stale_after):
            reason = self.rejections.last or self.topic.problem or self._unheard() or health.reason
            health = dataclasses.replace(health, reason=reason)
        if not health.healthy and CLOCK_QUESTION in health.reason and self._clock_is_ignored():
            health = dataclasses.replace(health, reason=f"{health.reason} /clock is published: start the nodes with use_sim_time")
        self._health = health
        return health

    def _unheard(self) -> str:
        """What may be wrong where a publisher is there and no message has ever come; empty before UNHEARD."""
        if self._arrived or time.monotonic() - self._begun < UNHEARD:
            return ""
        name = self.topic.subscribed_name
        # https://github.com/eProsima/Fast-DDS/issues/5053: after kill -9 of a process.
        return f"no data has arrived yet: {name} has a publisher that sends nothing, or that Fast DDS lost: start this node again"

    def _clock_is_ignored(self) -> bool:
        return not self._node.get_clock().ros_time_is_active and self._node.count_publishers("/clock") > 0

    def _now(self) -> int:
        """The node's time [ns]. A /clock that is not there yet, or arrives late, is at least at the newest stamp."""
        clock = self._node.get_clock()
        now, newest = clock.now().nanoseconds, self.monitor.newest
        late = newest is not None and clock.ros_time_is_active and newest.stamp - now < CLOCK_DELAY
        return max(now, newest.stamp) if newest is not None and (late or now == 0) else now

    def status(self) -> Status:
        """For /diagnostics."""
        health = self._health
        lost = self.topic.subscription.events.lost if self.topic.subscription else 0
        values = {"topic": self.topic.subscribed_name, "publishers": self.topic.publishers, **self.counts()}
        values |= {"lost": lost, **self.rejections.values()}
        if health is None:
            return Status(self.name, Level.WARN, "not measured yet", values, self.frame_id)
        values |= {"rate [Hz]": health.rate, "age [s]": health.age, "jitter [s]": health.jitter, **health.signals}
        level = Level.OK if health.healthy else Level.ERROR if health.rate == 0.0 else Level.WARN
        return Status(self.name, level, health.reason or "healthy", values, self.frame_id)

    def _accept(self, frame_id: str) -> None:
        self.frame_id = frame_id
        self.rejections.last = ""

    def _add(self, frame: Frame) -> None:
        self.pair = self.monitor.add(frame)
        self._arrived = time.monotonic()

    def _add_new(self, frame: Frame | None) -> None:
        newest = self.monitor.newest
        if frame is not None and (newest is None or frame.stamp != newest.stamp):
            self._add(frame)


class LatestMessageSource(SensorSource):
    """Base of the sources of which only the newest message is read, and each message is a frame."""

    def subscribe(self, kind: type, topic: str) -> PolledSubscription:
        return PolledSubscription(self._node, kind, topic)

    @abstractmethod
    def read(self, message: Any) -> tuple[Frame, str]:
        """The frame of a message and the name of its coordinate frame. Raises BadInput."""

    def poll(self) -> None:
        with self.topic.lock:
            taken = self.topic.subscription.take() if self.topic.subscription else None
        if taken is None:
            return
        message, since = taken
        try:
            frame, frame_id = self.read(message)
        except BadInput as error:
            self.reject(error)
            return
        newest = self.monitor.newest
        if newest and frame.stamp == newest.stamp:
            self.repeated += since
            self._repeated_at = time.monotonic()
            return
        self._accept(frame_id)
        self.monitor.count(frame.stamp, since)
        self._add(frame)

    def counts(self) -> dict[str, int]:
        subscription = self.topic.subscription
        taken, skipped = (subscription.taken, subscription.skipped) if subscription else (0, 0)
        return {"taken": taken, "skipped": skipped, "repeated stamps": self.repeated}


class FrameSource(LatestMessageSource):
    """A camera or a lidar."""

    def __init__(self, node: Node, modality: str, name: str, mount: CameraMount | LidarMount) -> None:
        super().__init__(node, modality, name, mount.topic)
        self._mount = mount
        self.topic.follow()

    def read(self, message: Any) -> tuple[Frame, str]:
        return frame_from_message(message, self.name, self._mount), message.header.frame_id


class ImuSource(SensorSource):
    """An IMU: the samples of the last second are one window.

    The worker takes them: a callback for each sample would cost most of what the node costs.
    """

    def __init__(self, node: Node, modality: str, name: str, mount: ImuMount) -> None:
        super().__init__(node, modality, name, mount.topic)
        self._mount = mount
        self._buffer = ImuBuffer(name)
        self._taken = self._late = 0
        self.topic.follow()

    def subscribe(self, kind: type, topic: str) -> PolledSubscription:
        return PolledSubscription(self._node, kind, topic, IMU_DEPTH)

    def begin(self) -> None:
        self._arrived_samples()  # those of the time before are dropped
        super().begin()

    def clear(self) -> None:
        super().clear()
        self._buffer.clear()

    def poll(self) -> None:
        for message in self._arrived_samples():
            try:
                stamp, sample = imu_from_message(message, self._mount)
            except BadInput as error:
                self.reject(error)
                continue
            self._taken += 1
            if self._buffer.push(stamp, sample):
                self.monitor.count(stamp)
                self._accept(message.header.frame_id)
            else:
                self._late += 1
        self._add_new(self._buffer.window())

    def counts(self) -> dict[str, int]:
        return {"taken": self._taken, "late or duplicate": self._late}

    def _arrived_samples(self) -> list[Imu]:
        with self.topic.lock:
            return self.topic.subscription.take_all() if self.topic.subscription else []
