# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""/diagnostics (REP-107): one status per part of a node, once a second; and the DDS events of a subscription."""

from __future__ import annotations

import platform
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
    """Severity of a status."""

    OK = DiagnosticStatus.OK
    WARN = DiagnosticStatus.WARN
    ERROR = DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Status:
    """Status of one part of a node: a sensor, an encoder, the LLM.

    `hardware` is the frame id of a sensor, empty for a part that runs on this computer, whose name is sent then.
    """

    part: str
    level: Level
    message: str
    values: dict[str, Any] = field(default_factory=dict)
    hardware: str = ""


def name_prefix(node: Node) -> str:
    """What the status names of the nodes in the namespace of `node` begin with: "robot1/", empty without a namespace."""
    return f"{node.get_namespace()}/".lstrip("/")


class Diagnostics:
    """Publishes the result of `statuses` at 1 Hz of wall time, also while /clock is paused."""

    def __init__(self, node: Node, statuses: Callable[[], Iterable[Status]]) -> None:
        self._node = node
        self._statuses = statuses
        # REP-107 requires this absolute name; the status names of two robots differ by namespace.
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
                hardware_id=status.hardware or platform.node(),
                values=[KeyValue(key=key, value=_text(value)) for key, value in status.values.items()],
            )
            for status in self._statuses()
        ]
        self._publisher.publish(message)


class SubscriptionEvents:
    """DDS events of one subscription: lost messages, and an incompatible publisher with the parameter that fixes it."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.lost = 0
        self.incompatible = ""

    def callbacks(self) -> SubscriptionEventCallbacks:
        """For the argument `event_callbacks` of create_subscription."""
        return SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible, message_lost=self._on_lost)

    def _on_lost(self, event: Any) -> None:
        self.lost = event.total_count

    def _on_incompatible(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        offered, requested = _INCOMPATIBLE.get(policy, ("another one", "another one"))
        self.incompatible = (
            f"a publisher of {self.topic} offers {policy} {offered}, requested is {requested}, so no message arrives from it: "
            f"set qos_overrides.{self.topic}.subscription.{policy} to {offered}"
        )


_INCOMPATIBLE = {"reliability": ("best_effort", "reliable"), "durability": ("volatile", "transient_local")}
"""The offered and the requested value of a policy that do not match; there is one such pair for each."""


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
