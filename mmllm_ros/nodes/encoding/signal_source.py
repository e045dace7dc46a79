# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The sources of the universal_encoder node: signals from one message, or from a stream of messages."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

from ...datatypes import BadInput, Signal
from ...io.signals import MESSAGE_TYPES, STREAMS, SignalStream, signal_from_message
from ...rig import SignalMount
from ..ros_support.messages import stamp_from
from ..sources.recorded_topics import message_class
from .sensor_source import LatestMessageSource, SensorSource, StoredMessagesSource


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


class StreamSource(StoredMessagesSource):
    """A signal of the messages of the last seconds."""

    def __init__(self, node: Node, mount: SignalMount) -> None:
        super().__init__(node, mount.modality, mount.name, mount.topic, SignalStream(mount), message_classes(mount))
        self._unused = 0
        self.topic.follow()

    def store(self, message: Any) -> None:
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

    def counts(self) -> dict[str, int]:
        return {"taken": self._taken, "late or not needed": self._unused}


def stamped_frame(message: Any) -> str:
    """The coordinate frame of a message, empty where it has no header. Raises BadInput for a stamp that is not set."""
    header = getattr(message, "header", None)
    if not header:
        return ""
    stamp_from(header)
    return header.frame_id
