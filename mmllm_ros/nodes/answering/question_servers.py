# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The three ways to ask: service mmllm/ask, action mmllm/ask_question, topic mmllm/questions. One desk behind them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_msgs.msg import String

from ...action import AskQuestion
from ...datatypes import Answer
from ...msg import Answer as AnswerMessage
from ...srv import Ask
from ..ros_support import qos
from .answering_worker import Job
from .question_queue import QuestionQueue

Reply = Ask.Response | AskQuestion.Result


class QuestionServers:
    """Offers the three on `node`; `to_message` turns an answer into the message that a caller gets."""

    def __init__(self, node: Node, desk: QuestionQueue, to_message: Callable[[Answer], AnswerMessage]) -> None:
        self._desk = desk
        self._to_message = to_message
        self._numbers = itertools.count(1)
        self._goals: dict[bytes, Job] = {}
        # A question is awaited: in the node's own group the first would hold up the parameters and the second.
        group = ReentrantCallbackGroup()
        node.create_subscription(String, "mmllm/questions", self._on_question, qos.RELIABLE, callback_group=group)
        node.create_service(Ask, "mmllm/ask", self._on_ask, callback_group=group)
        self._server = ActionServer(
            node, AskQuestion, "mmllm/ask_question", self._on_goal, callback_group=group, cancel_callback=self._on_cancel
        )

    def close(self) -> None:
        """Destroy the action server, which its node does not know."""
        self._server.destroy()

    async def _on_question(self, message: String) -> None:
        await self._desk.answer(Job(message.data, self._number("topic")))

    async def _on_ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        return self._fill(response, await self._desk.answer(Job(request.question, self._number("ask")), request.timeout))

    async def _on_goal(self, goal: ServerGoalHandle) -> AskQuestion.Result:
        job = Job(goal.request.question, self._number("action"), _Stream(goal))
        key = bytes(goal.goal_id.uuid)
        self._goals[key] = job
        if goal.is_cancel_requested:
            job.finish("cancelled")
        outcome = await self._desk.answer(job, goal.request.timeout)
        del self._goals[key]
        if goal.is_cancel_requested:
            goal.canceled()
        elif isinstance(outcome, Answer):
            goal.succeed()
        else:
            goal.abort()
        return self._fill(AskQuestion.Result(), outcome)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if job := self._goals.get(bytes(goal.goal_id.uuid)):
            job.finish("cancelled")
        return CancelResponse.ACCEPT

    def _fill(self, reply: Reply, outcome: Answer | str) -> Reply:
        reply.success = isinstance(outcome, Answer)
        if reply.success:
            reply.answer = self._to_message(outcome)
        else:
            reply.message = outcome
        return reply

    def _number(self, door: str) -> str:
        return f"{door}-{next(self._numbers)}"


class _Stream:
    """Feedback of one goal: with every new piece, the answer so far."""

    def __init__(self, goal: ServerGoalHandle) -> None:
        self._goal = goal
        self._text = ""

    def __call__(self, piece: str) -> None:
        self._text += piece
        self._goal.publish_feedback(AskQuestion.Feedback(text=self._text))
