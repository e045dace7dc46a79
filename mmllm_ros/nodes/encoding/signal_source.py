# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The sources of the universal_encoder node: signals from one message, or from a stream of messages."""

from __future__ import annotations

import threading
import time
from typing import Any

from rclpy.node import Node

from ...datatypes import BadInput, Signal
from ...io.signals import MESSAGE_TYPES, STREAMS, SignalStream, signal_from_message
from ...rig import SignalMount
from ..ros_support.latest_message import LatestMessageSubscription
from ..ros_support.messages import stamp_from
from ..sources.recorded_topics import message_class
from .sensor_source import SampleSubscription, SensorSource


def make_source(node: Node, mount: SignalMount) -> SensorSource:
    """The source of one sensor of the rig. Raises BadInput for audio settings out of range."""
    return StreamSource(node, mount) if mount.kind in STREAMS else SignalSource(node, mount)


def message_classes(mount: SignalMount) -> tuple[type, ...]:
    """The message types that carry signals of this sensor, as far as they are installed."""
    return tuple(found for name in MESSAGE_TYPES[mount.kind] if (found := message_class(name)))


class SignalSource(SensorSource):
    """Each message is a signal, and only the newest one is read."""

    def __init__(self, node: Node, mount: SignalMount) -> None:
        super().__init__(node, mount.modality, mount.name, mount.topic, message_classes(mount))
        self._mount = mount
        self.topic.follow()

    def subscribe(self, kind: type, topic: str) -> LatestMessageSubscription:
        return LatestMessageSubscription(self._node, kind, topic)

    def poll(self) -> None:
        with self.topic.lock:
            taken = self.topic.subscription.take() if self.topic.subscription else None
        if taken is None:
            return
        message, since = taken
        try:
            if header := getattr(message, "header", None):
                stamp_from(header)
            signal = signal_from_message(message, self._mount, self._node.get_clock().now().nanoseconds)
        except BadInput as error:
            self.reject(error)
            return
        newest = self.monitor.newest
        if newest and signal.stamp == newest.stamp:
            self.repeated += since
            self._repeated_at = time.monotonic()
            return
        self._accept(header.frame_id if header else "")
        self.monitor.count(signal.stamp, since)
        self._add(signal)

    def counts(self) -> dict[str, int]:
        subscription = self.topic.subscription
        taken, skipped = (subscription.taken, subscription.skipped) if subscription else (0, 0)
        return {"taken": taken, "skipped": skipped, "repeated stamps": self.repeated}


class StreamSource(SensorSource):
    """A callback stores the messages of the last seconds; the worker makes a signal of them."""

    def __init__(self, node: Node, mount: SignalMount) -> None:
        self._stream = SignalStream(mount)
        self._lock = threading.Lock()
        self._taken = self._unused = 0
        super().__init__(node, mount.modality, mount.name, mount.topic, message_classes(mount))
        self.topic.follow()

    def subscribe(self, kind: type, topic: str) -> SampleSubscription:
        return SampleSubscription(self._node, kind, topic, self._on_message)

    def _on_message(self, message: Any) -> None:
        if not self.running:
            return
        try:
            header = getattr(message, "header", None)
            if header:
                stamp_from(header)
            with self._lock:
                self._taken += 1
                stamp = self._stream.push(message, self._node.get_clock().now().nanoseconds)
                if stamp is None:
                    self._unused += 1
                    return
                self.monitor.count(stamp)
                self._accept(header.frame_id if header else "")
        except BadInput as error:
            self.reject(error)

    def poll(self) -> None:
        signal: Signal | None = None
        try:
            with self._lock:
                signal = self._stream.signal()
        except BadInput as error:
            self.reject(error)
        newest = self.monitor.newest
        if signal is not None and (newest is None or signal.stamp != newest.stamp):
            self._add(signal)

    def health(self, stale_after: float, cost: float = 0.0):
        with self._lock:
            return super().health(stale_after, cost)

    def clear(self) -> None:
        with self._lock:
            super().clear()
            self._stream.clear()

    def counts(self) -> dict[str, int]:
        return {"taken": self._taken, "late or not needed": self._unused}
