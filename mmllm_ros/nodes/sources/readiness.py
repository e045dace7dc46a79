# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the nodes that answer questions are ready, from their diagnostics: the llm with its model, every encoder of the rig."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from ..ros_support.diagnostics import Level, name_prefix


class Readiness:
    """Listens from its construction on, to the nodes in the namespace of `node`."""

    def __init__(self, node: Node) -> None:
        self._prefix = name_prefix(node)
        self._levels: dict[str, bytes] = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_array, 10)

    def missing(self) -> list[str]:
        """What is not ready yet, empty where questions can be answered."""
        monitor = "context_monitor: "
        encoders = {part: level for part, level in self._levels.items() if part.startswith(monitor) and part.endswith("encoder")}
        wanted = {"llm: model": self._levels.get("llm: model")} | (encoders or {"context_monitor": None})
        return [part.removeprefix(monitor) for part, level in wanted.items() if level != Level.OK.value]

    def _on_array(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith(self._prefix):
                self._levels[status.name.removeprefix(self._prefix)] = status.level
