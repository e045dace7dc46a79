# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""AskClient a running llm node over the action mmllm/ask_question, for the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import rclpy
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future

from ...action import AskQuestion
from ...datatypes import Answer, BadInput
from ..ros_support.messages import answer_from_message

FIND = 5.0
"""How long to look for the llm node [s]."""


class AskClient:
    """A client of the llm node in `namespace`. Use as a context manager. Raises BadInput where no llm node is found."""

    def __init__(self, namespace: str = "") -> None:
        rclpy.init(args=[])
        self._node = rclpy.create_node(f"ask_{os.getpid()}", namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._client = ActionClient(self._node, AskQuestion, "mmllm/ask_question")

    def __enter__(self) -> AskClient:
        if not self._client.wait_for_server(FIND):
            name, domain = self._node.resolve_service_name("mmllm/ask_question"), os.environ.get("ROS_DOMAIN_ID", "0")
            self.__exit__()
            raise BadInput(f"no llm node serves {name} in ROS domain {domain}: is `mmllm drive` running?")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.destroy()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def ask(self, question: str, timeout: float = 0.0, on_text: Callable[[str], None] | None = None) -> Answer:
        """The answer. `on_text` gets the answer so far as it grows; Ctrl-C cancels. Raises BadInput with the node's refusal.

        Args:
            timeout: the node's own limit [s] for this question, 0 = its parameter.
        """
        goal = AskQuestion.Goal(question=question, timeout=timeout)
        feedback = (lambda message: on_text(message.feedback.text)) if on_text else None
        handle = self._wait(self._client.send_goal_async(goal, feedback_callback=feedback))
        if not handle.accepted:
            raise BadInput("the llm node refused the question")
        try:
            outcome = self._wait(handle.get_result_async())
        except KeyboardInterrupt:
            self._wait(handle.cancel_goal_async())
            raise
        if outcome.status != GoalStatus.STATUS_SUCCEEDED:
            raise BadInput(outcome.result.message)
        return answer_from_message(outcome.result.answer)

    def _wait(self, future: Future) -> Any:
        self._executor.spin_until_future_complete(future)
        return future.result()
