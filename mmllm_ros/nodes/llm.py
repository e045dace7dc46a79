# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The llm node: subscribes to tokens and plans, answers questions, publishes answers with their evidence."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import psutil
from rclpy.node import Node

from ..assistant import Assistant
from ..config import LlmConfig
from ..datatypes import MODALITIES, Answer, BadInput, Plan
from ..encoders.familiarity import load_familiarity
from ..msg import Answer as AnswerMessage
from ..msg import ModalityPlan, SensorHealth, SensorTokens
from ..question_policy import question_policy
from ..resources import model_folder
from ..rig import load_rig
from .answering.adaptation_servers import AdaptationServers
from .answering.answering_worker import AnsweringWorker
from .answering.encode_client import EncodeClient
from .answering.open_vocabulary_client import OpenVocabularyClient
from .answering.question_servers import QuestionServers
from .answering.standing_questions import StandingQuestions
from .ros_support import qos
from .ros_support.clock_jumps import on_jump_back
from .ros_support.diagnostics import Diagnostics, Level, Status
from .ros_support.known_sources import KnownSources
from .ros_support.messages import answer_to_message, health_from_message, plan_from_message, tokens_from_message
from .ros_support.parameters import declare
from .ros_support.process import spin
from .ros_support.rejections import Rejections
from .ros_support.warm_process import start_again_when_killed


class Llm(Node):
    """Runs an Assistant in a worker thread. Callbacks do not compute, so that parameters and services stay responsive."""

    def __init__(self, **node_arguments) -> None:
        super().__init__("llm", **node_arguments)
        self.config = declare(self, LlmConfig, self._on_config)
        self._plan: Plan | None = None
        self._rejections, self._sources = Rejections(), KnownSources()
        self._rejected_tokens: dict[tuple[str, str], str] = {}
        self._frame_ids: dict[tuple[str, str], str] = {}
        self._answers = self.create_publisher(AnswerMessage, "mmllm/answers", qos.RELIABLE)
        self.adaptation = AdaptationServers(self)
        self.rig = load_rig(self.config.rig)
        self._encode = EncodeClient(self, dict.fromkeys((*MODALITIES, *self.rig.modalities)), self._on_tokens)
        self._look = OpenVocabularyClient(self) if self.rig.open_vocabulary else None
        failed = self.create_guard_condition(self._on_failure)
        self.worker = AnsweringWorker(self._load, self.config.queue, failed.trigger)
        self._questions = QuestionServers(self)
        self._standing = StandingQuestions(self, self._questions)
        self.create_subscription(SensorTokens, "mmllm/tokens", self._on_tokens, qos.RELIABLE)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self.create_subscription(SensorHealth, "mmllm/health", self._on_health, qos.RELIABLE)
        on_jump_back(self, self._on_jump)
        self._diagnostics = Diagnostics(self, self._statuses)

    def destroy_node(self) -> None:
        self.adaptation.close()
        self.worker.stop()
        self._questions.close()
        super().destroy_node()

    def publish_answer(self, answer: Answer) -> None:
        """Publish an answer, and store it as a labelled sample where `own_answers` says so."""
        self._answers.publish(self.answer_message(answer))
        self.adaptation.store_own_answer(answer)

    def answer_message(self, answer: Answer) -> AnswerMessage:
        """The message of an answer, with the sensors' frame ids in its evidence."""
        return answer_to_message(answer, self._frame_ids)

    def _load(self) -> Assistant:
        """Runs in the worker's thread: loading takes seconds, and meanwhile callers get an error message at once."""
        model = self.adaptation.load_model()
        folder = model_folder(self.config.model)
        policy = question_policy(folder, model, self.rig, self.get_logger().warning)
        sensing = (policy, self._encode, self.rig, load_familiarity(folder), self._look)
        assistant = Assistant(model, self.config, lambda: self.get_clock().now().nanoseconds, *sensing)
        if self._plan:
            assistant.set_plan(self._plan)
        self.get_logger().info(f"ready: {model.name} ({model.revision}) with {', '.join(model.modalities)}")
        return assistant

    def _on_config(self, config: LlmConfig) -> None:
        self.config = config
        self._standing.follow_config()
        if assistant := self.worker.assistant:
            assistant.config = config

    def _on_health(self, message: SensorHealth) -> None:
        try:
            self._sources.check(message.modality, message.source)
            health = health_from_message(message)
        except BadInput as error:
            self._reject("health", error)
            return
        if assistant := self.worker.assistant:
            assistant.set_health(health)

    def _on_failure(self) -> None:
        """Runs in the executor and ends the process: a node without a model must not stay alive."""
        raise BadInput(f"llm: {self.worker.failure}")

    def _on_tokens(self, message: SensorTokens) -> None:
        if (assistant := self.worker.assistant) is None:
            return
        source = (message.modality, message.source)
        known = False
        try:
            self._sources.check(*source)
            known = True
            tokens = tokens_from_message(message)
            self.adaptation.put(tokens)
            assistant.put(tokens)
        except BadInput as error:
            self._reject("tokens", error)
            if known:  # else it is one of any number
                self._rejected_tokens[source] = str(error)
        else:
            self._rejected_tokens.pop(source, None)
            self._frame_ids[source] = message.header.frame_id

    def _on_plan(self, message: ModalityPlan) -> None:
        try:
            self._plan = plan_from_message(message)
        except BadInput as error:
            self._reject("plan", error)
            return
        if assistant := self.worker.assistant:
            assistant.set_plan(self._plan)

    def _reject(self, what: str, error: BadInput) -> None:
        self._rejections.add(f"{what} rejected: {error}")
        self.get_logger().warning(self._rejections.last, throttle_duration_sec=5.0)

    def _on_jump(self) -> None:
        if assistant := self.worker.assistant:
            assistant.clear()

    def _statuses(self) -> Iterator[Status]:
        worker, questions = self.worker, self._questions
        assistant = worker.assistant
        level, message = Level.OK, "answering"
        if assistant is None:
            level, message = (Level.ERROR, worker.failure) if worker.failure else (Level.WARN, "loading the model")
        elif self._rejected_tokens:
            level, message = Level.WARN, "tokens rejected: " + "; ".join(self._rejected_tokens.values())
        values = {
            "model": assistant.model.name if assistant else "",
            "revision": assistant.model.revision if assistant else "",
            "answers": questions.answered,
            "rejected questions": questions.rejected,
            "latency p50 [s]": questions.latency(50),
            "latency p95 [s]": questions.latency(95),
            "waiting": worker.waiting,
            "resident memory [MiB]": psutil.Process().memory_info().rss / 2**20,
        }
        yield Status("model", level, message, values | self._rejections.values())


def main(args: Sequence[str] | None = None) -> int:
    """Run the node, in a process of its own: when that is killed, this one starts it again without loading torch."""
    return start_again_when_killed(lambda: spin(Llm, args))


if __name__ == "__main__":
    sys.exit(main())
