# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A subscription without callback: a worker thread takes the latest message, or all that have arrived, when it needs them.

Messages that are not taken are replaced inside DDS: they are not deserialized and do not hold the interpreter lock. No message
wakes the executor of rclpy, which costs about a millisecond of CPU each time.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from .diagnostics import SubscriptionEvents

WaitSet = rclpy_implementation.WaitSet
OVERRIDABLE = QoSOverridingOptions([QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY, QoSPolicyKind.DEPTH])


def sensor_data(depth: int) -> QoSProfile:
    """Sensor data QoS: best effort, the newest `depth` messages. A new object, because overrides are written into it."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)


class _NotExecuted(CallbackGroup):
    """Keeps a subscription and its events out of the executor's wait set.

    The events too: while a message is not taken, Fast DDS wakes every thread that waits for them. The executor would spin
    without a pause and hold the interpreter lock that the worker thread needs to take the message.
    """

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class PolledSubscription:
    """The messages of a topic, of which DDS keeps the newest `depth` until they are taken.

    `taken` counts the messages that were taken, `skipped` those sent between two of them, where the DDS implementation
    numbers messages.
    """

    def __init__(self, node: Node, kind: type, topic: str, depth: int = 1) -> None:
        self.kind = kind
        self._node = node
        self._context = node.context
        self.events = SubscriptionEvents(node.resolve_topic_name(topic))
        self.taken = self.skipped = 0
        self._number = 0
        self._subscription = node.create_subscription(
            kind,
            topic,
            _never_called,
            sensor_data(depth),
            callback_group=_NotExecuted(),
            event_callbacks=self.events.callbacks(),
            qos_overriding_options=OVERRIDABLE,
        )

    def take(self) -> tuple[Any, int] | None:
        """The latest message and the number of messages sent since the last one taken, itself included; None without one."""
        self._poll_events()
        newest = None
        handle = self._subscription.handle
        with handle:
            # With a depth raised by an override, older messages come before the latest.
            for _ in range(max(1, self._subscription.qos_profile.depth)):
                newest = handle.take_message(self.kind, False) or newest
        if newest is None:
            return None
        message, info = newest
        number = info["publication_sequence_number"] or 0
        since = number - self._number if 0 < self._number < number else 1
        self._number = number
        self.taken += 1
        self.skipped += since - 1
        return message, since

    def take_all(self) -> list[Any]:
        """The messages that have arrived since the last call, in order, as far as DDS has kept them."""
        self._poll_events()
        messages: list[Any] = []
        handle = self._subscription.handle
        with handle:
            # Bounded: messages that arrive faster than they are taken are left for the next call.
            for _ in range(self._subscription.qos_profile.depth):
                if (taken := handle.take_message(self.kind, False)) is None:
                    break
                messages.append(taken[0])
        self.taken += len(messages)
        return messages

    def _poll_events(self) -> None:
        """Pass DDS events to `events`, as an executor would."""
        events = self._subscription.event_handlers
        with ExitStack() as in_use:
            for event in events:
                in_use.enter_context(event)
            in_use.enter_context(self._context.handle)
            wait_set = WaitSet(0, 0, 0, 0, 0, len(events), self._context.handle)
            wait_set.clear_entities()
            for event in events:
                event.add_to_wait_set(wait_set)
            wait_set.wait(0)
            for event in events:
                if event.is_ready(wait_set) and (report := event.take_data()):
                    event.callback(report)

    def destroy(self) -> None:
        """Destroy the DDS subscription. Call it in a callback of the executor, or before it spins."""
        self._node.destroy_subscription(self._subscription)

    @property
    def publishers(self) -> int:
        """Number of matched publishers."""
        return self._subscription.get_publisher_count()


def _never_called(message: Any) -> None:
    """Required by create_subscription; the executor does not call it."""
