# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded or simulated time against real time, told to everyone on /clock."""

from __future__ import annotations

import threading
import time

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from ...datatypes import NANOSECONDS

PERIOD = 0.02
"""/clock goes out so often [s of real time], and before a message that is due more than a quarter of it later."""

LATE = 0.1
"""After a stall of more [s] the rest comes later, rather than in a burst that nobody recorded."""


class Pace:
    """Time that runs at `rate` from `restart(origin)` on. With `publish`, `node` tells it on /clock."""

    def __init__(self, node: Node, rate: float = 1.0, publish: bool = True) -> None:
        self._rate = rate
        self._origin = 0
        self._start = 0.0
        self._told = 0.0
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._publisher = node.create_publisher(Clock, "/clock", qos) if publish else None

    def restart(self, origin: int) -> None:
        """It is `origin` [ns] now; the time may jump, also backwards."""
        self._origin = origin
        self._start = time.monotonic()
        self._tell(origin)

    def wait(self, stamp: int, stop: threading.Event) -> bool:
        """Sleep until `stamp` [ns] is due, telling the time meanwhile; False where `stop` was set first."""
        due = self._start + (stamp - self._origin) / NANOSECONDS / self._rate
        while not stop.is_set():
            now = time.monotonic()
            if now >= due:
                if now - due > LATE:
                    self._start += now - due
                if now - self._told > PERIOD / 4:
                    self._tell(stamp)
                return True
            if now - self._told >= PERIOD:
                self._tell(stamp - round((due - now) * self._rate * NANOSECONDS))
            stop.wait(min(due, self._told + PERIOD) - now)
        return False

    def _tell(self, stamp: int) -> None:
        self._told = time.monotonic()
        if self._publisher:
            self._publisher.publish(Clock(clock=Time(sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS)))
