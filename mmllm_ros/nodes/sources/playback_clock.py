# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Maps recorded or simulated time to real time and publishes it on /clock."""

from __future__ import annotations

import threading
import time

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from ...datatypes import NANOSECONDS

PERIOD = 0.02
"""/clock is published at this interval [s of real time], and with a message where the last one is older than a quarter of it."""

LATE = 0.1
"""After a stall of more [s] all later messages are delayed, instead of being sent in a burst."""


class PlaybackClock:
    """Time that runs at `rate` from `restart(origin)` on. With `publish`, `node` publishes it on /clock.

    With `wait_after_stall` a stall delays all that follows, so that no burst is published; without, the delay is made up for.
    """

    def __init__(self, node: Node, rate: float = 1.0, publish: bool = True, wait_after_stall: bool = True) -> None:
        self._rate = rate
        self._origin = 0
        self._start = 0.0
        self._wait_after_stall = wait_after_stall
        self._published = 0.0
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._publisher = node.create_publisher(Clock, "/clock", qos) if publish else None

    def restart(self, origin: int) -> None:
        """Set the time to `origin` [ns]; it may jump, also backwards."""
        self._origin = origin
        self._start = time.monotonic()
        self._publish(origin)

    def wait(self, stamp: int, stop: threading.Event) -> bool:
        """Sleep until `stamp` [ns] is due and publish the time meanwhile; False where `stop` is set before."""
        due = self._start + (stamp - self._origin) / NANOSECONDS / self._rate
        while not stop.is_set():
            now = time.monotonic()
            if now >= due:
                if now - due > LATE and self._wait_after_stall:
                    self._start += now - due
                if now - self._published > PERIOD / 4:
                    self._publish(stamp)
                return True
            if now - self._published >= PERIOD:
                self._publish(stamp - round((due - now) * self._rate * NANOSECONDS))
            stop.wait(min(due, self._published + PERIOD) - now)
        return False

    def _publish(self, stamp: int) -> None:
        self._published = time.monotonic()
        if self._publisher:
            self._publisher.publish(Clock(clock=Time(sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS)))
