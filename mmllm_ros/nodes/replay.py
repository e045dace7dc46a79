# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The replay node: plays a rosbag2 over DDS as it was recorded, with /clock. Ends by itself after the last message."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import ReliabilityPolicy

from ..config import ReplayConfig
from ..datatypes import BadInput
from ..recording import Recording
from .pace import Pace
from .parameters import declare
from .process import spin
from .recorded_topics import message_class, offered_profile

DISCOVERY = 2.0
"""Wait so long [s] for a first subscriber, so that the beginning is not played to nobody."""

_ABSOLUTE = ("/tf", "/tf_static")


class Replay(Node):
    """Publishes the recorded bytes from a thread of its own; `on_end` is called there when there is nothing left to play.

    Topics keep the recorded name under this node's namespace. `hold`, where given, is waited for before the first message.
    Raises BadInput as Recording does.
    """

    def __init__(self, on_end: Callable[[], None] | None = None, hold: threading.Event | None = None, **node_arguments) -> None:
        super().__init__("replay", **node_arguments)
        self.config = declare(self, ReplayConfig)
        if not self.config.bag:
            raise BadInput("parameter bag is '', not a rosbag2 folder or file")
        self.recording = Recording(self.config.bag)
        self._on_end = on_end
        self._hold = hold
        self._stop = threading.Event()
        self._pace = Pace(self, self.config.rate, self.config.clock)
        self._offers = self._offer()
        next(self._messages(), None)  # refuses a bad start while someone still sees it
        self._thread = threading.Thread(target=self._play, name="replay")
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop playing."""
        self._stop.set()
        self._thread.join()
        super().destroy_node()

    def _offer(self) -> dict[str, Publisher]:
        """One publisher for each topic that is asked for and whose type is installed here."""
        publishers = {}
        for name in self.recording.chosen(self.config.topics):
            topic = self.recording.topics[name]
            if name == "/clock" and self.config.clock:
                self.get_logger().info("recorded /clock is left out, this node publishes its own")
            elif (kind := message_class(topic.type)) is None:
                self.get_logger().warning(f"{name} is left out: its type {topic.type} is not installed here")
            else:
                relative = name if name in _ABSOLUTE else name.lstrip("/")
                publishers[name] = self.create_publisher(kind, relative, offered_profile(topic.qos))
        if not publishers:
            raise BadInput(f"recording {self.config.bag} has no topic whose type is installed here")
        return publishers

    def _messages(self) -> Iterator[tuple[str, str, int, bytes]]:
        return self.recording.raw(set(self._offers), self.config.start)

    def _play(self) -> None:
        try:
            self._await_listeners()
            while self._play_once() and self.config.loop:
                self.get_logger().info("from the beginning")
            self._await_delivery()
        except BadInput as error:  # damage in the middle of the file
            self.get_logger().error(str(error))
        except Exception:
            if self.context.ok():  # else Ctrl-C took the middleware away while this thread was publishing
                raise
            return
        if self._on_end and not self._stop.is_set():
            self._on_end()

    def _play_once(self) -> bool:
        """False where it was interrupted."""
        started = False
        for topic, _, stamp, data in self._messages():
            if not started:
                self._pace.restart(stamp)
                started = True
            if not self._pace.wait(stamp, self._stop):
                return False
            self._offers[topic].publish(data)
        return not self._stop.is_set()

    def _await_listeners(self) -> None:
        while self._hold and not self._hold.wait(0.1) and not self._stop.is_set():
            pass
        deadline = time.monotonic() + DISCOVERY
        while time.monotonic() < deadline and not self._stop.is_set():
            if any(publisher.get_subscription_count() for publisher in self._offers.values()):
                self._stop.wait(0.2)  # the other topics of the same subscriber are found just after its first
                return
            self._stop.wait(0.02)

    def _await_delivery(self) -> None:
        """A process that ends takes along what its reliable publishers have not delivered yet."""
        for publisher in self._offers.values():
            if publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE and not self._stop.is_set():
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
