# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One sensor of an encoder node: where its frames come from, what is known of its health, what was refused."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from rclpy.node import Node

from ...context.health_check import judge
from ...context.health_signals import measure
from ...context.rate_monitor import RateMonitor
from ...datatypes import NANOSECONDS, BadInput, Frame, Health
from ..ros_support.diagnostics import Level, Link, Status


class SensorSource(ABC):
    """For the worker's thread; `status` may be asked from any."""

    def __init__(self, node: Node, modality: str, name: str) -> None:
        self.modality = modality
        self.name = name
        self.frame_id = ""
        self.pair: tuple[Frame, Frame | None] | None = None
        """The newest frame and its partner half a second older, None before the first and once encoded."""
        self.link: Link
        self.tempo = RateMonitor()
        self.rejected = 0
        self.listening = False
        self._node = node
        self._refusal = ""
        self._newest: Frame | None = None
        self._measured: Frame | None = None
        self._signals: dict[str, float] = {}
        self._started = 0
        self._arrived = 0.0
        self._health: Health | None = None

    @abstractmethod
    def poll(self) -> None:
        """Take what is newest, if anything is new, into `pair`."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """For diagnostics: messages taken, passed over."""

    def begin(self) -> None:
        """Count and look from now on."""
        self.forget()
        self.rejected = 0
        self._refusal = ""
        self.listening = True

    def end(self) -> None:
        """Stop looking, and drop the frames. The subscription stays: to destroy one breaks an executor that is waiting."""
        self.listening = False
        self.forget()

    def forget(self) -> None:
        """Time has jumped back: nothing that was seen is of the past."""
        self.pair = self._newest = self._measured = self._health = None
        self._signals = {}
        self.tempo.clear()
        self._started = self._node.get_clock().now().nanoseconds

    def refuse(self, error: BadInput) -> None:
        """Count a bad message, and say so once in a while."""
        self.rejected += 1
        self._refusal = str(error)
        self._node.get_logger().warning(f"{self.link.topic}: refused: {error}", throttle_duration_sec=5.0)

    def health(self, stale_after: float, cost: float = 0.0) -> Health:
        """What the newest frame says about the sensor now; `cost` [s] of encoding a frame is passed on."""
        newest = self._newest
        if newest is not None and newest is not self._measured:
            self._signals = measure(newest, self._measured)
            self._measured, self._arrived = newest, time.monotonic()
        stamp = newest.stamp if newest else 0
        age = (self._node.get_clock().now().nanoseconds - (stamp or self._started)) / NANOSECONDS
        silence = time.monotonic() - self._arrived
        healthy, reason = judge(self._signals, age, stale_after, silence)
        if not healthy and (not self._signals or min(age, silence) > stale_after):
            reason = self._refusal or self.link.incompatible or reason
        rate = 0.0 if age > stale_after else self.tempo.rate
        self._health = Health(
            self.modality, self.name, stamp, rate, age, self.tempo.jitter, self.rejected, self._signals, healthy, reason, cost
        )
        return self._health

    def status(self) -> Status:
        """For /diagnostics."""
        health = self._health
        values = {"topic": self.link.topic, **self.counts(), "lost": self.link.lost, "rejected": self.rejected}
        if self._refusal:
            values["last refusal"] = self._refusal
        if health is None:
            return Status(self.name, Level.WARN, "not measured yet", values, self.frame_id)
        values |= {"rate [Hz]": health.rate, "age [s]": health.age, "jitter [s]": health.jitter, **health.signals}
        if self.link.incompatible and health.rate == 0.0:
            return Status(self.name, Level.ERROR, self.link.incompatible, values, self.frame_id)
        level = Level.OK if health.healthy else Level.ERROR if health.rate == 0.0 else Level.WARN
        return Status(self.name, level, health.reason or "healthy", values, self.frame_id)

    def _accepted(self, frame_id: str) -> None:
        self.frame_id = frame_id
        self._refusal = ""
