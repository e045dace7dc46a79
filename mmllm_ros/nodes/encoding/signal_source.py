# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The sources of the universal_encoder node: signals from one message, or from a stream of messages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from ...datatypes import BadInput, Health, Signal
from ...io.signals import MESSAGE_TYPES, STREAMS, SignalStream, signal_from_message
from ...rig import SignalMount
from ..ros_support.diagnostics import SubscriptionEvents
from ..ros_support.messages import stamp_from
from ..ros_support.polled_subscription import OVERRIDABLE, sensor_data
from ..sources.recorded_topics import message_class
from .sensor_source import LatestMessageSource, SensorSource


def make_source(node: Node, mount: SignalMount) -> SensorSource:
    """The source of one sensor of the rig. Raises BadInput for audio settings out of range."""
    return StreamSource(node, mount) if mount.kind in STREAMS else SignalSource(node, mount)


def message_classes(mount: SignalMount) -> tuple[type, ...]:
    """The message types that carry signals of this sensor, as far as they are installed."""
    return tuple(found for name in MESSAGE_TYPES[mount.kind] if (found := message_class(name)))


class SignalSource(LatestMessageSource):
    """A signal of one message."""

    def __init__(self, node: Node, mount: SignalMount) -> None:
        super().__init__(node, mount.modality, mount.name, mount.topic, message_classes(mount))
        self._mount = mount
        self.topic.follow()

    def read(self, message: Any) -> tuple[Signal, str]:
        frame_id = stamped_frame(message)
        return signal_from_message(message, self._mount, self._node.get_clock().now().nanoseconds), frame_id


class StreamSource(SensorSource):
    """A signal of the messages of the last seconds.

    Each is stored in a callback, as a message without a stamp gets the time of its arrival.
    """

    def __init__(self, node: Node, mount: SignalMount) -> None:
        super().__init__(node, mount.modality, mount.name, mount.topic, message_classes(mount))
        self._buffer = SignalStream(mount)
        self._lock = threading.Lock()
        self._taken = self._unused = 0
        self.topic.follow()

    def subscribe(self, kind: type, topic: str) -> CallbackSubscription:
        return CallbackSubscription(self._node, kind, topic, self._store)

    def _store(self, message: Any) -> None:
        if not self.running:
            return
        try:
            frame_id = stamped_frame(message)
            with self._lock:
                self._taken += 1
                stamp = self._buffer.push(message, self._node.get_clock().now().nanoseconds)
                if stamp is None:
                    self._unused += 1
                    return
                self.monitor.count(stamp)
                self._accept(frame_id)
        except BadInput as error:
            self.reject(error)

    def poll(self) -> None:
        signal: Signal | None = None
        try:
            with self._lock:
                signal = self._buffer.signal()
        except BadInput as error:
            self.reject(error)
        self._add_new(signal)

    def health(self, stale_after: float, cost: float = 0.0) -> Health:
        with self._lock:
            return super().health(stale_after, cost)

    def clear(self) -> None:
        with self._lock:
            super().clear()
            self._buffer.clear()

    def counts(self) -> dict[str, int]:
        return {"taken": self._taken, "late or not needed": self._unused}


class CallbackSubscription:
    """Passes every message to `callback`, in the executor."""

    def __init__(self, node: Node, kind: type, topic: str, callback: Callable[[Any], None]) -> None:
        self.events = SubscriptionEvents(topic)
        self._node = node
        # A depth above 1: at 400 Hz several samples arrive while another callback runs.
        self._subscription = node.create_subscription(
            kind,
            topic,
            callback,
            sensor_data(100),
            event_callbacks=self.events.callbacks(),
            qos_overriding_options=OVERRIDABLE,
        )

    @property
    def publishers(self) -> int:
        """Number of matched publishers."""
        return self._subscription.get_publisher_count()

    def destroy(self) -> None:
        """Destroy the DDS subscription, in a callback of the executor."""
        self._node.destroy_subscription(self._subscription)


def stamped_frame(message: Any) -> str:
    """The coordinate frame of a message, empty where it has no header. Raises BadInput for a stamp that is not set."""
    header = getattr(message, "header", None)
    if not header:
        return ""
    stamp_from(header)
    return header.frame_id
