# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The llm node: the newest tokens of every source in, questions in three ways, answers with their evidence out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import psutil
from rclpy.node import Node

from ..assistant import Assistant
from ..config import LlmConfig
from ..context.demand import watched
from ..context.per_question import PerQuestion
from ..context.table import FILE, PlanTable
from ..datatypes import Answer, BadInput, Plan
from ..model import Model
from ..msg import Answer as AnswerMessage
from ..msg import ModalityPlan
from ..resources import model_folder
from ..rig import load_rig
from . import qos
from .adapting import Adapting
from .answering import AnsweringWorker
from .clock import on_jump_back
from .diagnostics import Diagnostics, Level, Status
from .encode_client import EncodeClient
from .learning import Learning
from .messages import answer_to_message, plan_from_message
from .parameters import declare
from .process import spin
from .question_desk import QuestionDesk
from .question_doors import QuestionDoors
from .token_door import TokenDoor


class Llm(Node):
    """Holds an Assistant in a worker thread; callbacks only pass messages on, so that parameters stay responsive."""

    def __init__(self, **node_arguments) -> None:
        super().__init__("llm", **node_arguments)
        self.config = declare(self, LlmConfig, self._on_config)
        self._plan: Plan | None = None
        self._answers = self.create_publisher(AnswerMessage, "mmllm/answers", qos.RELIABLE)
        self._learning = Learning(self, lambda: self.config)
        self._tokens = TokenDoor(self, lambda: self._worker.assistant, self._learning.hear)
        self._encode = EncodeClient(self, self._tokens.put)
        failed = self.create_guard_condition(self._give_up)
        self._worker = AnsweringWorker(self._load, self.config.queue, failed.trigger)
        self._desk = QuestionDesk(self, self._worker, lambda: self.config, self._on_answer)
        self._adapting = Adapting(self, self._worker, self._learning, lambda: self.config)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self._doors = QuestionDoors(self, self._desk, self._message)
        on_jump_back(self, self._forget)
        self._diagnostics = Diagnostics(self, self._statuses)

    def destroy_node(self) -> None:
        self._adapting.close()
        self._worker.stop()
        self._doors.close()
        super().destroy_node()

    def _load(self) -> Assistant:
        """In the worker's thread: a model takes seconds to load, and a caller must hear so at once."""
        model = self._learning.load()
        policy = self._policy(model)
        assistant = Assistant(model, self.config, lambda: self.get_clock().now().nanoseconds, policy, self._encode)
        if self._plan:
            assistant.follow(self._plan)
        self.get_logger().info(f"ready: {model.name} ({model.revision}) with {', '.join(model.modalities)}")
        return assistant

    def _policy(self, model: Model) -> PerQuestion | None:
        path = model_folder(self.config.model) / FILE
        if not path.is_file():
            return None
        table = PlanTable.read(path)
        if (table.model, table.revision) != (model.name, model.revision):
            self.get_logger().warning(f"{path} was measured with {table.model} {table.revision}: `mmllm plan` measures it anew")
        return PerQuestion(table, watched(load_rig(self.config.rig)))

    def _on_config(self, config: LlmConfig) -> None:
        self.config = config
        if assistant := self._worker.assistant:
            assistant.config = config

    def _give_up(self) -> None:
        """In the executor, so that it ends the process: a node without a model must not look alive."""
        raise BadInput(f"llm: {self._worker.failure}")

    def _on_answer(self, answer: Answer) -> None:
        self._answers.publish(self._message(answer))
        self._learning.answered(answer)

    def _on_plan(self, message: ModalityPlan) -> None:
        try:
            self._plan = plan_from_message(message)
        except BadInput as error:
            self.get_logger().warning(f"plan refused: {error}", throttle_duration_sec=5.0)
            return
        if assistant := self._worker.assistant:
            assistant.follow(self._plan)

    def _forget(self) -> None:
        if assistant := self._worker.assistant:
            assistant.clear()

    def _statuses(self) -> Iterator[Status]:
        assistant = self._worker.assistant
        level, message = Level.OK, "answering"
        if assistant is None:
            level, message = (Level.ERROR, self._worker.failure) if self._worker.failure else (Level.WARN, "loading the model")
        elif self._tokens.refused:
            level, message = Level.WARN, "tokens refused: " + "; ".join(self._tokens.refused.values())
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

    def _message(self, answer: Answer) -> AnswerMessage:
        return answer_to_message(answer, self._tokens.frames)


def main(args: Sequence[str] | None = None) -> int:
    return spin(Llm, args)


if __name__ == "__main__":
    sys.exit(main())
