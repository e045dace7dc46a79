# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The client of the action mmllm/ask_question: AskClient for nodes, BlockingAskClient for the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from ...action import AskQuestion
from ...datatypes import Answer, BadInput
from ..ros_support import qos
from ..ros_support.messages import answer_from_message

ACTION = "mmllm/ask_question"

DISCOVERY_TIMEOUT = 5.0
"""How long BlockingAskClient waits for the llm node [s]."""

SLACK = 5.0
"""The llm node answers or refuses within its timeout; after so much longer [s] it is not there any more."""

RESPONSE_TIMEOUT = 1.0
"""How long BlockingAskClient waits for a response that needs no computation [s]."""

POLL_PERIOD = 0.2
"""Ctrl-C takes effect after at most so long [s]: it does not interrupt a wait in ROS."""


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
        # ROS would end its context at Ctrl-C, which here ends one question.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(f"ask_{os.getpid()}", namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._client = AskClient(self._node)
        self._parameters = self._node.create_client(GetParameters, "llm/get_parameters")

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

        Raises BadInput with the node's message, or where it does not respond, as one that was started again.
        """
        limit = (timeout or self._timeout_of_node()) + SLACK
        outcome = self._client.ask(question, timeout, on_text, self._node.get_name())
        try:
            if not self._done(outcome, limit):
                raise BadInput(f"the llm node did not respond within {limit:g} s, ask again")
        except KeyboardInterrupt:
            if cancelled := self._client.cancel():
                self._done(cancelled, RESPONSE_TIMEOUT)
            raise
        if isinstance(outcome.result(), Answer):
            return outcome.result()
        raise BadInput(outcome.result())

    def _timeout_of_node(self) -> float:
        """The llm node's parameter `timeout` [s]. Raises BadInput where it does not respond."""
        requests, deadline = [], time.monotonic() + SLACK
        while time.monotonic() < deadline:
            # Again and again: a server that has not found its client yet loses the response.
            requests.append(self._parameters.call_async(GetParameters.Request(names=["timeout"])))
            self._done(requests[-1], RESPONSE_TIMEOUT)
            if response := next((request.result() for request in requests if request.done()), None):
                return response.values[0].double_value
        raise BadInput(f"the llm node did not respond within {SLACK:g} s, ask again")

    def _done(self, future: Future, seconds: float) -> bool:
        """Whether `future` is done within `seconds` [s]."""
        deadline = time.monotonic() + seconds
        while not future.done() and (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, POLL_PERIOD))
        return future.done()
