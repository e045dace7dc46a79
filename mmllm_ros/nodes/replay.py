# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The replay node: publishes a rosbag2 recording with its timing, and /clock. Ends after the last message."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import rclpy
from rclpy.duration import Duration
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import ReliabilityPolicy

from ..config import ReplayConfig
from ..datatypes import BadInput, one_line
from ..io.rosbag import Recording
from .ros_support.parameters import declare
from .ros_support.process import spin
from .sources.playback_clock import PlaybackClock
from .sources.readiness import Readiness
from .sources.recorded_topics import message_class, offered_profile
from .sources.source_node import SourceNode

DISCOVERY = 2.0
"""Longest wait for the first subscriber [s], so that it receives the first messages."""

_ABSOLUTE = ("/tf", "/tf_static")
RCLError = rclpy_implementation.RCLError


class Replay(SourceNode):
    """Publishes the recorded bytes. Topics keep the recorded name, under the namespace of this node.

    The event `hold`, where given, is awaited before the first message. Raises BadInput as Recording does.
    """

    def __init__(self, on_end: Callable[[], None] | None = None, hold: threading.Event | None = None, **node_arguments) -> None:
        super().__init__("replay", on_end, **node_arguments)
        self.config = declare(self, ReplayConfig)
        if not self.config.bag:
            raise BadInput("parameter bag is '', not a rosbag2 folder or file")
        self.recording = Recording(self.config.bag)
        self._hold = hold
        self._readiness = Readiness(self) if self.config.wait else None
        self._playback_clock = PlaybackClock(self, self.config.rate, self.config.clock)
        self._topic_publishers = self._create_publishers()
        if next(self._messages(), None) is None:
            raise BadInput(f"recording {self.config.bag} has no message of {', '.join(self._topic_publishers)} to play")
        self.start()

    def _create_publishers(self) -> dict[str, Publisher]:
        """One publisher for each chosen topic whose type is installed."""
        publishers = {}
        for name in self.recording.chosen(self.config.topics):
            topic = self.recording.topics[name]
            if name == "/clock" and self.config.clock:
                self.get_logger().info("recorded /clock is left out, this node publishes its own")
            elif (kind := message_class(topic.type)) is None:
                self.get_logger().warning(f"{name} is left out: its type {topic.type} is not installed here")
            else:
                relative = name if name in _ABSOLUTE else name.lstrip("/")
                try:
                    publishers[name] = self.create_publisher(kind, relative, offered_profile(topic.qos))
                except RCLError as error:
                    # One process cannot have a topic with two types.
                    raise BadInput(f"{name} of {self.config.bag} cannot be played as {topic.type}: {one_line(error)}") from error
        if not publishers:
            raise BadInput(f"recording {self.config.bag} has no topic whose type is installed here")
        return publishers

    def _messages(self) -> Iterator[tuple[str, str, int, bytes]]:
        return self.recording.raw(set(self._topic_publishers), self.config.start)

    def publish_all(self) -> None:
        """Play the recording, repeatedly with `loop`."""
        self._await_nodes()
        self._await_subscribers()
        while self._play_once() and self.config.loop:
            self.get_logger().info("from the beginning")
        self._await_delivery()
        if not self.stopping.is_set():
            self.get_logger().info(f"{self.config.bag} has ended")

    def _play_once(self) -> bool:
        """False where it is interrupted."""
        started = False
        for topic, _, stamp, data in self._messages():
            if not started:
                self._playback_clock.restart(stamp)
                started = True
            if not self._playback_clock.wait(stamp, self.stopping):
                return False
            self._topic_publishers[topic].publish(data)
        return not self.stopping.is_set()

    def _await_nodes(self) -> None:
        """Wait until the nodes are ready, at most `wait` seconds: what is played before is lost to them."""
        if self._readiness is None:
            return
        deadline = time.monotonic() + self.config.wait
        while (missing := self._readiness.missing()) and time.monotonic() < deadline and not self.stopping.wait(0.1):
            pass
        if missing and not self.stopping.is_set():
            self.get_logger().warning(f"not ready after {self.config.wait:g} s: {', '.join(missing)}; playing all the same")

    def _await_subscribers(self) -> None:
        while self._hold and not self._hold.wait(0.1) and not self.stopping.is_set():
            pass
        deadline = time.monotonic() + DISCOVERY
        while time.monotonic() < deadline and not self.stopping.is_set():
            if any(publisher.get_subscription_count() for publisher in self._topic_publishers.values()):
                self.stopping.wait(0.2)  # its subscriptions to the other topics are discovered just after the first
                return
            self.stopping.wait(0.02)

    def _await_delivery(self) -> None:
        """Wait for reliable messages: a process that exits drops those not delivered yet."""
        for publisher in self._topic_publishers.values():
            if publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE and not self.stopping.is_set():
                publisher.wait_for_all_acked(Duration(seconds=1))


def play(config: ReplayConfig) -> int:
    """`mmllm replay BAG`: play as configured and return the exit status."""
    overrides = [Parameter(name, value=value) for name, value in dataclasses.asdict(config).items()]
    return spin(lambda: Replay(on_end=rclpy.try_shutdown, parameter_overrides=overrides), [])


def main(args: Sequence[str] | None = None) -> int:
    """`ros2 run mmllm_ros replay --ros-args -p bag:=FOLDER`."""
    return spin(lambda: Replay(on_end=rclpy.try_shutdown), args)


if __name__ == "__main__":
    sys.exit(main())
