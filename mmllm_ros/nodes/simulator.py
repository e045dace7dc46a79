# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator node: publishes the sensor topics of a rig on a simulated drive, in real time, and /clock."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import rclpy
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile

from ..config import SimulatorConfig
from ..datatypes import NANOSECONDS, Signal
from ..io.frames import shifted
from ..io.serialization import Serializer
from ..rig import load_rig
from ..simulator.drive import Drive, Snapshot
from ..simulator.signal_sensors import SignalSensors, with_cameras
from ..simulator.truth import SceneTruth
from .ros_support.parameters import declare
from .ros_support.process import spin
from .sources.playback_clock import LATE, PlaybackClock
from .sources.recorded_topics import message_class
from .sources.source_node import SourceNode


class Simulator(SourceNode):
    """`truth` is the ground truth at the last published frame, for nodes in the same process.

    Stamps start at the node's clock, so that the data is recent for a node without use_sim_time too.
    """

    def __init__(self, on_end: Callable[[], None] | None = None, **node_arguments) -> None:
        super().__init__("simulator", on_end, **node_arguments)
        self.config = declare(self, SimulatorConfig)
        self.truth: SceneTruth | None = None
        rig = with_cameras(load_rig(self.config.rig))
        self._signals = SignalSensors(rig)
        self._drive = Drive(self.config.seed, rig, self.config.context)
        self._serializer = Serializer(rig)
        self._topic_publishers = {topic: self._create_publisher(topic, kind) for topic, kind in self._serializer.topics().items()}
        self._began = 0
        self._playback_clock = PlaybackClock(self, publish=self.config.clock, wait_after_stall=self.config.clock)
        self.start()

    def _create_publisher(self, topic: str, kind: str) -> Publisher:
        return self.create_publisher(message_class(kind), topic, QoSProfile(depth=10))

    def publish_all(self) -> None:
        """Simulate and publish."""
        # The next snapshot is simulated while the current one is published, so that IMU samples are sent on time.
        with ThreadPoolExecutor(1) as ahead:
            snapshot, signals = self._simulate(0.0)
            started = snapshot.truth.stamp
            shift = self.get_clock().now().nanoseconds - started
            self._began = started + shift
            self._playback_clock.restart(self._began)
            self._publish_mounts(self._began)
            while not self._over(snapshot.truth.stamp - started):
                next_snapshot = ahead.submit(self._simulate, 1.0 / self.config.rate)
                shift += self._catch_up(snapshot.truth.stamp + shift)
                self._publish(snapshot, signals, shift)
                snapshot, signals = next_snapshot.result()

    def _catch_up(self, stamp: int) -> int:
        """By how much [ns] stamps must shift on a machine that is too slow. Without /clock the data would become ever older."""
        behind = self.get_clock().now().nanoseconds - stamp
        if self.config.clock or behind < LATE * NANOSECONDS:
            return 0
        self._playback_clock.restart(stamp + behind)
        return behind

    def _over(self, driven: int) -> bool:
        return self.stopping.is_set() or 0 < self.config.duration < driven / NANOSECONDS

    def _simulate(self, seconds: float) -> tuple[Snapshot, list[Signal]]:
        self._drive.advance(seconds)
        if not self._signals.mounts:
            return self._drive.capture(), []
        ray_scene = self._drive.ray_scene()
        snapshot = self._drive.capture(ray_scene)
        return snapshot, self._signals.capture(self._drive, snapshot, ray_scene)

    def _publish_mounts(self, stamp: int) -> None:
        """Publish /tf_static, where tf2_msgs is installed."""
        mounts = self._serializer.transforms(stamp)
        if kind := message_class(mounts.type):
            latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            self.create_publisher(kind, mounts.topic, latched).publish(mounts.data)

    def _publish(self, snapshot: Snapshot, signals: list[Signal], shift: int) -> None:
        frames = [*snapshot.cameras, *(frame for frame in (snapshot.lidar, snapshot.imu) if frame), *signals]
        messages = [message for frame in frames for message in self._serializer.messages(shifted(frame, shift))]
        for message in sorted(messages, key=lambda message: message.stamp):
            if message.stamp < self._began:  # the first IMU window begins before the drive
                continue
            if not self._playback_clock.wait(message.stamp, self.stopping):
                return
            self._topic_publishers[message.topic].publish(message.data)
        self.truth = dataclasses.replace(snapshot.truth, stamp=snapshot.truth.stamp + shift)


def main(args: Sequence[str] | None = None) -> int:
    """`ros2 run mmllm_ros simulator --ros-args -p seed:=1 -p context:=night`."""
    return spin(lambda: Simulator(on_end=rclpy.try_shutdown), args)


if __name__ == "__main__":
    sys.exit(main())
