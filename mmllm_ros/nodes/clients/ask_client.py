# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The client of the action mmllm/ask_question: AskClient for nodes, BlockingAskClient for the command line."""

from __future__ import annotations

import os
from collections.abc import Callable

import rclpy
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from ...action import AskQuestion
from ...datatypes import Answer, BadInput
from ..ros_support import qos
from ..ros_support.messages import answer_from_message

ACTION = "mmllm/ask_question"

DISCOVERY_TIMEOUT = 5.0
"""How long BlockingAskClient waits for the llm node [s]."""


class AskClient:
    """Asks one question at a time from `node`, whose executor must spin. `busy` says whether a question has no answer yet."""

    def __init__(self, node: Node) -> None:
        self.busy = False
        self._destroyed = False
        self._client = ActionClient(node, AskQuestion, ACTION, **qos.ACTION_SERVICES)
        self._goal: ClientGoalHandle | None = None

    @property
    def ready(self) -> bool:
        """Whether the llm node is there and no question is under way."""
        return not self.busy and self._client.server_is_ready()

    def wait_for_server(self, seconds: float) -> bool:
        """Whether the llm node is found within `seconds` [s]."""
        return self._client.wait_for_server(seconds)

    def ask(
        self, question: str, timeout: float = 0.0, on_text: Callable[[str], None] | None = None, conversation: str = ""
    ) -> Future:
        """Ask; returns a future of the Answer, or of an error message of one line.

        Args:
            timeout: longest time for the answer [s], 0 = the node's parameter.
            on_text: gets the answer so far as it grows.
            conversation: id of the conversation, empty = none.
        """
        outcome = Future()
        self.busy, self._goal = True, None

        def on_accepted(future: Future) -> None:
            if self._destroyed:  # the executor may have had the response before
                return
            self._goal = future.result()
            if self._goal.accepted:
                self._goal.get_result_async().add_done_callback(on_result)
            else:
                finish("the llm node rejected the question")

        def on_result(future: Future) -> None:
            result = future.result().result
            try:
                finish(answer_from_message(result.answer) if result.success else result.message)
            except BadInput as error:
                finish(str(error))

        def finish(value: Answer | str) -> None:
            self.busy = False
            outcome.set_result(value)

        feedback = (lambda message: on_text(message.feedback.text)) if on_text else None
        goal = AskQuestion.Goal(question=question, timeout=timeout, conversation=conversation)
        self._client.send_goal_async(goal, feedback_callback=feedback).add_done_callback(on_accepted)
        return outcome

    def cancel(self) -> Future | None:
        """Cancel the current question; None where the llm node has not accepted it yet."""
        return self._goal.cancel_goal_async() if self._goal and self._goal.accepted else None

    def destroy(self) -> None:
        """Destroy the action client: Node.destroy_node does not. A question under way has no outcome."""
        self._destroyed = True
        self._client.destroy()


class BlockingAskClient:
    """A node of its own that asks the llm node in `namespace`. A context manager; raises BadInput where no llm node is found."""

    def __init__(self, namespace: str = "") -> None:
        rclpy.init(args=[])
        self._node = rclpy.create_node(f"ask_{os.getpid()}", namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._client = AskClient(self._node)

    def __enter__(self) -> BlockingAskClient:
        if not self._client.wait_for_server(DISCOVERY_TIMEOUT):
            name, domain = self._node.resolve_service_name(ACTION), os.environ.get("ROS_DOMAIN_ID", "0")
            self.__exit__()
            raise BadInput(f"no llm node serves {name} in ROS domain {domain}: is `mmllm drive` running?")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.destroy()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def ask(self, question: str, timeout: float = 0.0, on_text: Callable[[str], None] | None = None) -> Answer:
        """The answer, in a conversation of this client; arguments as in AskClient.ask. Ctrl-C cancels the question.

        Raises BadInput with the node's message.
        """
        outcome = self._client.ask(question, timeout, on_text, self._node.get_name())
        try:
            self._executor.spin_until_future_complete(outcome)
        except KeyboardInterrupt:
            if cancelled := self._client.cancel():
                self._executor.spin_until_future_complete(cancelled)
            raise
        if isinstance(outcome.result(), Answer):
            return outcome.result()
        raise BadInput(outcome.result())
