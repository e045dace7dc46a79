# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The llm node: the newest tokens of every source in, questions in three ways, answers with their evidence out."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence

import psutil
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_msgs.msg import String

from ..action import AskQuestion
from ..assistant import Assistant
from ..config import LlmConfig
from ..datatypes import Answer, BadInput, Plan
from ..model import Model, default_model
from ..msg import Answer as AnswerMessage
from ..msg import ModalityPlan, SensorTokens
from ..srv import Ask
from . import qos
from .answering import AnsweringWorker, Job
from .clock import on_jump_back
from .diagnostics import Diagnostics, Level, Status
from .messages import answer_to_message, plan_from_message, tokens_from_message
from .parameters import declare
from .process import spin
from .question_desk import QuestionDesk


class Llm(Node):
    """Holds an Assistant in a worker thread; callbacks only pass messages on, so that parameters stay responsive."""

    def __init__(self, **node_arguments) -> None:
        super().__init__("llm", **node_arguments)
        self.config = declare(self, LlmConfig, self._on_config)
        self._numbers = itertools.count(1)
        self._goals: dict[bytes, Job] = {}
        self._plan: Plan | None = None
        self._refusal = ""
        answers = self.create_publisher(AnswerMessage, "mmllm/answers", qos.RELIABLE)
        self._worker = AnsweringWorker(self._load, self.config.queue, self._on_failure)
        self._desk = QuestionDesk(
            self, self._worker, lambda: self.config, lambda answer: answers.publish(answer_to_message(answer))
        )
        self.create_subscription(SensorTokens, "mmllm/tokens", self._on_tokens, qos.RELIABLE)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        # A question is awaited: in the node's own group the first would hold up the parameters and the second.
        group = ReentrantCallbackGroup()
        self.create_subscription(String, "mmllm/questions", self._on_question, qos.RELIABLE, callback_group=group)
        self.create_service(Ask, "mmllm/ask", self._on_ask, callback_group=group)
        self._server = ActionServer(
            self, AskQuestion, "mmllm/ask_question", self._on_goal, callback_group=group, cancel_callback=self._on_cancel
        )
        on_jump_back(self, self._forget)
        self._diagnostics = Diagnostics(self, self._statuses)

    def destroy_node(self) -> None:
        self._worker.stop()
        self._server.destroy()
        super().destroy_node()

    def _load(self) -> Assistant:
        """In the worker's thread: a model takes seconds to load, and a caller must hear so at once."""
        model = Model.load(self.config.model or default_model(), self.config.device)
        assistant = Assistant(model, self.config, lambda: self.get_clock().now().nanoseconds)
        if self._plan:
            assistant.follow(self._plan)
        self.get_logger().info(f"ready: {model.name} ({model.revision}) with {', '.join(model.modalities)}")
        return assistant

    def _on_config(self, config: LlmConfig) -> None:
        self.config = config
        if assistant := self._worker.assistant:
            assistant.config = config

    def _on_failure(self, reason: str) -> None:
        def give_up() -> None:
            raise BadInput(reason)

        # Raised in the executor, so that it ends the process: a node without a model must not look alive.
        self.executor.create_task(give_up)

    def _on_tokens(self, message: SensorTokens) -> None:
        if assistant := self._worker.assistant:
            try:
                assistant.put(tokens_from_message(message))
            except BadInput as error:
                self._refusal = str(error)
                self.get_logger().warning(f"tokens refused: {error}", throttle_duration_sec=5.0)

    def _on_plan(self, message: ModalityPlan) -> None:
        self._plan = plan_from_message(message)
        if assistant := self._worker.assistant:
            assistant.follow(self._plan)

    def _forget(self) -> None:
        if assistant := self._worker.assistant:
            assistant.clear()

    async def _on_question(self, message: String) -> None:
        await self._desk.answer(Job(message.data, self._number("topic")))

    async def _on_ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        return _fill(response, await self._desk.answer(Job(request.question, self._number("ask")), request.timeout))

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
        return _fill(AskQuestion.Result(), outcome)

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if job := self._goals.get(bytes(goal.goal_id.uuid)):
            job.finish("cancelled")
        return CancelResponse.ACCEPT

    def _statuses(self) -> Iterator[Status]:
        assistant = self._worker.assistant
        level, message = Level.OK, "answering"
        if assistant is None:
            level, message = (Level.ERROR, self._worker.failure) if self._worker.failure else (Level.WARN, "loading the model")
        elif self._refusal:
            level, message = Level.WARN, f"tokens refused: {self._refusal}"
        values = {
            "model": assistant.model.name if assistant else "",
            "revision": assistant.model.revision if assistant else "",
            "answers": self._desk.answered,
            "refused": self._desk.refused,
            "latency p50 [s]": self._desk.latency(50),
            "latency p95 [s]": self._desk.latency(95),
            "waiting": self._worker.waiting,
            "resident memory [MiB]": psutil.Process().memory_info().rss / 2**20,
        }
        yield Status("model", level, message, values)

    def _number(self, door: str) -> str:
        return f"{door}-{next(self._numbers)}"


class _Stream:
    """Feedback of one goal: the answer so far, with every new piece."""

    def __init__(self, goal: ServerGoalHandle) -> None:
        self._goal = goal
        self._text = ""

    def __call__(self, piece: str) -> None:
        self._text += piece
        self._goal.publish_feedback(AskQuestion.Feedback(text=self._text))


def _fill(response: Ask.Response | AskQuestion.Result, outcome: Answer | str) -> Ask.Response | AskQuestion.Result:
    response.success = isinstance(outcome, Answer)
    if response.success:
        response.answer = answer_to_message(outcome)
    else:
        response.message = outcome
    return response


def main(args: Sequence[str] | None = None) -> int:
    return spin(Llm, args)


if __name__ == "__main__":
    sys.exit(main())
