# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""/diagnostics as REP-107 has it: once a second, one status per part of a node. And what DDS says about a subscription."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind


class Level(Enum):
    """How bad it is."""

    OK = DiagnosticStatus.OK
    WARN = DiagnosticStatus.WARN
    ERROR = DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Status:
    """One part of a node: a sensor, an encoder, the LLM. `hardware` names the device, for a sensor its frame or topic."""

    part: str
    level: Level
    message: str
    values: dict[str, Any] = field(default_factory=dict)
    hardware: str = ""


class Diagnostics:
    """Publishes what `statuses` returns, at 1 Hz of wall time: a stopped /clock must not silence it."""

    def __init__(self, node: Node, statuses: Callable[[], Iterable[Status]]) -> None:
        self._node = node
        self._statuses = statuses
        # REP-107 names this topic absolutely; the statuses of two robots differ by the namespace in their names.
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(1.0, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _publish(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        name = self._node.get_fully_qualified_name().lstrip("/")
        message.status = [
            DiagnosticStatus(
                name=f"{name}: {status.part}",
                level=status.level.value,
                message=status.message,
                hardware_id=status.hardware,
                values=[KeyValue(key=key, value=_text(value)) for key, value in status.values.items()],
            )
            for status in self._statuses()
        ]
        self._publisher.publish(message)


class Link:
    """What DDS reports about one subscription: lost messages, and a publisher whose QoS does not fit, with the fix."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.lost = 0
        self.incompatible = ""

    def callbacks(self) -> SubscriptionEventCallbacks:
        """To be passed to create_subscription."""
        return SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible, message_lost=self._on_lost)

    def _on_lost(self, event: Any) -> None:
        self.lost = event.total_count

    def _on_incompatible(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        offer = _FIXES.get(policy, "what the publisher offers")
        self.incompatible = (
            f"a publisher of {self.topic} offers another {policy} than asked for, nothing arrives from it: "
            f"set qos_overrides.{self.topic}.subscription.{policy} to {offer}"
        )


_FIXES = {"reliability": "best_effort", "durability": "volatile"}


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
