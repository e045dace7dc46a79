# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the llm node learns from, and what it has learned: service mmllm/teach, its own sure answers, the weights that serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from rclpy.node import Node

from ..adaptation.moment import Moment
from ..adaptation.state import State
from ..assistant import check_question
from ..config import LlmConfig
from ..datatypes import Answer, BadInput, Tokens
from ..model import Model
from ..resources import model_folder
from ..srv import Teach


class Learning:
    """Offers the service on `node`; `config` is the node's configuration now. `model` and `state` are there once loaded."""

    def __init__(self, node: Node, config: Callable[[], LlmConfig]) -> None:
        self._node, self._config = node, config
        self._moment = Moment(lambda: node.get_clock().now().nanoseconds)
        self.model: Model | None = None
        self.state: State | None = None
        node.create_service(Teach, "mmllm/teach", self._on_teach)

    def load(self) -> Model:
        """The model that serves: the newest adapted one, or the one that the node was given. Raises BadInput."""
        config = self._config()
        torch.set_num_threads(config.threads)
        base = model_folder(config.model)
        serving: str | Path = config.model or base
        if (base / "connectors.safetensors").is_file():
            self.state = State(config.state, base, self._node.get_namespace(), config.lessons)
            serving = self.state.serving()
        try:
            self.model = Model.load(serving, config.device)
        except BadInput as error:
            if self.state is None or serving == base:
                raise
            self._node.get_logger().error(f"adapted weights cannot be used, {base} serves: {error}")
            self.model = Model.load(base, config.device)
        return self.model

    def ready(self) -> State:
        """The state of this robot. Raises BadInput while the model loads, and for a model that cannot learn."""
        if self.model is None:
            raise BadInput("the model is still loading, ask again in a moment")
        if self.state is None:
            raise BadInput(f"model {self.model.name} is not a model folder with connectors, so there is nothing to adapt")
        return self.state

    def hear(self, tokens: Tokens) -> None:
        """Keep tokens for a lesson, also of a modality that the model does not know yet."""
        self._moment.put(tokens)

    def answered(self, answer: Answer) -> None:
        """Keep a sure answer as a lesson for the modalities that it did not rest on."""
        least, teachers = self._config().own_answers, tuple(sorted({item.modality for item in answer.evidence}))
        if not least or answer.confidence < least or self.state is None:
            return
        try:
            lesson = self._moment.lesson(answer.question, answer.answer, self._config().max_age, teachers)
            if {tokens.modality for tokens in lesson.tokens} - set(teachers):
                self.state.lessons.add(lesson)
        except BadInput as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=10.0)

    def _on_teach(self, request: Teach.Request, response: Teach.Response) -> Teach.Response:
        try:
            check_question(request.question)
            state = self.ready()
            if words := self.model.prompt.unknown_words(request.question):
                raise BadInput(f"the question has the unknown word {words[0][:40]!r}")
            if self.model.answers and request.answer not in self.model.answers:
                raise BadInput(f"the answer is {request.answer[:40]!r}, none of the {len(self.model.answers)} of the model")
            lesson = self._moment.lesson(request.question, request.answer, self._config().max_age)
            state.lessons.add(lesson)
            response.success = True
            response.message = f"kept, with tokens of {', '.join(sorted({tokens.modality for tokens in lesson.tokens}))}"
        except BadInput as error:
            response.message = str(error)
        response.lessons = len(self.state.lessons) if self.state else 0
        return response
