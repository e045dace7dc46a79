# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The three interfaces for questions: service mmllm/ask, action mmllm/ask_question, topic mmllm/questions.

Callbacks are coroutines: they hand the question to the worker and await its outcome without blocking the executor.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from std_msgs.msg import String

from ...action import AskQuestion
from ...datatypes import Answer, BadInput
from ...srv import Ask
from ..ros_support import qos
from .answering_worker import PendingQuestion

if TYPE_CHECKING:
    from ..llm import Llm

Reply = Ask.Response | AskQuestion.Result

RESULT_TIMEOUT = 10
"""An outcome that no action client has fetched is kept so long [s]; rclpy's 900 s keep four kB of every question."""


class QuestionServers:
    """Serves questions on `node`, with a timeout each. `answered` and `rejected` count them."""

    def __init__(self, node: Llm) -> None:
        self.answered = 0
        self.rejected = 0
        self._node = node
        self._latencies: deque[float] = deque(maxlen=500)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._numbers = itertools.count(1)
        self._goals: dict[bytes, PendingQuestion] = {}
        # In the node's default group, which is mutually exclusive, an awaited question would block all other callbacks.
        group = ReentrantCallbackGroup()
        node.create_subscription(String, "mmllm/questions", self._on_question, qos.RELIABLE, callback_group=group)
        node.create_service(Ask, "mmllm/ask", self._on_ask, qos_profile=qos.SERVICE, callback_group=group)
        self._server = ActionServer(
            node,
            AskQuestion,
            "mmllm/ask_question",
            self._on_goal,
            callback_group=group,
            cancel_callback=self._on_cancel,
            result_timeout=RESULT_TIMEOUT,
            **qos.ACTION_SERVICES,
        )

    def close(self) -> None:
        """Destroy the action server: Node.destroy_node does not."""
        self._server.destroy()

    def latency(self, percent: float) -> float:
        """Percentile of the latency [s] of the last 500 answers, 0 before the first."""
        return float(np.percentile(self._latencies, percent)) if self._latencies else 0.0

    async def _on_question(self, message: String) -> None:
        await self.answer(PendingQuestion(message.data, self.number("topic")))

    async def _on_ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        pending = PendingQuestion(request.question, self.number("ask"), conversation=request.conversation)
        return self._fill(response, await self.answer(pending, request.timeout))

    async def _on_goal(self, goal: ServerGoalHandle) -> AskQuestion.Result:
        text = ""

        def on_text(piece: str) -> None:
            nonlocal text
            if pending.finished():  # cancelled, or the node is shutting down and the server is gone
                return
            text += piece
            goal.publish_feedback(AskQuestion.Feedback(text=text))

        pending = PendingQuestion(goal.request.question, self.number("action"), on_text, goal.request.conversation)
        key = bytes(goal.goal_id.uuid)
        self._goals[key] = pending
        if goal.is_cancel_requested:
            pending.finish("cancelled")
        outcome = await self.answer(pending, goal.request.timeout)
        del self._goals[key]
        if goal.is_cancel_requested:
            goal.canceled()
        elif isinstance(outcome, Answer):
            goal.succeed()
        else:
            goal.abort()
        return self._fill(AskQuestion.Result(), outcome)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if pending := self._goals.get(bytes(goal.goal_id.uuid)):
            pending.finish("cancelled")
        return CancelResponse.ACCEPT

    async def answer(self, pending: PendingQuestion, timeout: float = 0.0) -> Answer | str:
        """The answer, or an error message of one line. `timeout` [s], 0 = the node's parameter."""
        (outcome,) = await self.answer_all([pending], timeout)
        return outcome

    async def answer_all(self, questions: Sequence[PendingQuestion], timeout: float = 0.0) -> list[Answer | str]:
        """The same for questions that are asked together; the queue takes all of them or none."""
        node, timer, outcomes = self._node, None, []
        for pending in questions:
            # Setting a future does not wake an rclpy executor, and a sleeping executor does not look at it.
            pending.outcome.add_done_callback(lambda _: node.executor.wake())
        try:
            limit = dataclasses.replace(node.config, timeout=timeout or node.config.timeout).timeout  # checks the range
            if waiting := [pending for pending in questions if not pending.finished()]:
                node.worker.submit(*waiting)
                timer = node.create_timer(
                    limit,
                    lambda: [pending.finish(f"no answer within {limit:g} s") for pending in waiting],
                    callback_group=MutuallyExclusiveCallbackGroup(),  # a group never forgets its timers
                    clock=self._steady,
                )
        except BadInput as error:
            for pending in questions:
                pending.finish(str(error))
        for pending in questions:
            outcomes.append(await pending.outcome)
            self._count(pending, outcomes[-1])
        if timer:
            node.destroy_timer(timer)
        return outcomes

    def _count(self, pending: PendingQuestion, outcome: Answer | str) -> None:
        if isinstance(outcome, Answer):
            self.answered += 1
            self._latencies.append(outcome.latency)
            self._node.publish_answer(outcome)
        else:
            self.rejected += 1
            self._node.get_logger().warning(f"question {pending.question_id} has no answer: {outcome}")

    def _fill(self, reply: Reply, outcome: Answer | str) -> Reply:
        reply.success = isinstance(outcome, Answer)
        if reply.success:
            reply.answer = self._node.answer_message(outcome)
        else:
            reply.message = outcome
        return reply

    def number(self, interface: str) -> str:
        """An id for the next question that comes by `interface`."""
        return f"{interface}-{next(self._numbers)}"
