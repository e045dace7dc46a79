# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For the other benchmarks: a node that asks one question after the other."""

from __future__ import annotations

import rclpy
from rclpy.node import Node

from mmllm_ros.datatypes import Answer
from mmllm_ros.nodes.clients.ask_client import AskClient


class QuestionClient(Node):
    """Asks the llm node, and waits for the answer."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._client = AskClient(self)

    def destroy_node(self) -> None:
        self._client.destroy()
        super().destroy_node()

    def ask(self, question: str, timeout: float = 5.0) -> Answer | None:
        """The answer; None where there is no llm node, it refuses, or no answer comes within `timeout` [s]."""
        if not self._client.wait_for_server(0.2):
            return None
        future = self._client.ask(question)
        rclpy.spin_until_future_complete(self, future, timeout_sec=timeout)
        if not future.done():  # the node may be gone, and its answer would belong to no question
            self._client.destroy()
            self._client = AskClient(self)
            return None
        return future.result() if isinstance(future.result(), Answer) else None
