# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training on the robot, as the llm node offers it: service mmllm/teach stores labelled samples, action mmllm/adapt trains."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future

from ...action import Adapt
from ...adaptation.job import AdaptationJob
from ...adaptation.latest_tokens import LatestTokens
from ...adaptation.state import AdaptationState
from ...assistant import check_question
from ...datatypes import Answer, BadInput, Tokens, one_line
from ...model import Model
from ...resources import model_folder
from ...srv import Teach
from ...training.untrained_modalities import of_rig
from ..ros_support import qos
from .training_process import TrainingProcess

if TYPE_CHECKING:
    from ..llm import Llm


class AdaptationServers:
    """Serves mmllm/teach and mmllm/adapt on `node`. `model` and `state` are None until `load_model` has run."""

    def __init__(self, node: Llm) -> None:
        self._node = node
        self._latest = LatestTokens(lambda: node.get_clock().now().nanoseconds)
        self.model: Model | None = None
        self.state: AdaptationState | None = None
        self.training: TrainingProcess | None = None
        node.create_service(Teach, "mmllm/teach", self._on_teach, qos_profile=qos.SERVICE)
        # A goal is awaited for minutes.
        group = ReentrantCallbackGroup()
        self._server = ActionServer(
            node, Adapt, "mmllm/adapt", self._on_goal, callback_group=group, cancel_callback=self._on_cancel
        )

    def close(self) -> None:
        """End the training process and destroy the action server: Node.destroy_node does not."""
        if training := self.training:
            training.close()
        self._server.destroy()

    def load_model(self) -> Model:
        """The last adapted model of this robot, or the configured model if there is none. Raises BadInput."""
        config = self._node.config
        torch.set_num_threads(config.threads)
        base = model_folder(config.model)
        serving: str | Path = config.model or base
        if (base / "connectors.safetensors").is_file():
            self.state = AdaptationState(config.state, base, self._node.get_namespace(), config.max_samples)
            serving = self.state.serving()
        try:
            self.model = Model.load(serving, config.device)
        except BadInput as error:
            if self.state is None or serving == base:
                raise
            self._node.get_logger().error(f"adapted weights cannot be loaded, {base} is used instead: {error}")
            self.model = Model.load(base, config.device)
        self.model = of_rig(self.model, self._node.rig)
        return self.model

    def put(self, tokens: Tokens) -> None:
        """Keep the latest tokens for labelled samples, also of a modality that the model does not have yet."""
        self._latest.put(tokens)

    def store_own_answer(self, answer: Answer) -> None:
        """Store a confident answer as a labelled sample for the modalities that it was not based on."""
        config = self._node.config
        least, teachers = config.own_answers, tuple(sorted({item.modality for item in answer.evidence}))
        if not least or answer.confidence < least or self.state is None:
            return
        try:
            sample = self._latest.sample(answer.question, answer.answer, config.max_age, teachers)
            if {tokens.modality for tokens in sample.tokens} - set(teachers):
                self.state.replay_buffer.add(sample)
        except BadInput as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=10.0)

    def _loaded_state(self) -> AdaptationState:
        """The state of this robot. Raises BadInput while the model loads, and for a model that cannot be adapted."""
        if self.model is None:
            raise BadInput("the model is still loading, ask again in a moment")
        if self.state is None:
            raise BadInput(f"model {self.model.name} is not a model folder with connectors, so there is nothing to adapt")
        return self.state

    def _on_teach(self, request: Teach.Request, response: Teach.Response) -> Teach.Response:
        try:
            check_question(request.question)
            state = self._loaded_state()
            if words := self.model.prompt.unknown_words(request.question):
                raise BadInput(f"the question has the unknown word {words[0][:40]!r}")
            if self.model.answers and request.answer not in self.model.answers:
                raise BadInput(f"the answer is {request.answer[:40]!r}, not one of the {len(self.model.answers)} of the model")
            sample = self._latest.sample(request.question, request.answer, self._node.config.max_age)
            state.replay_buffer.add(sample)
            response.success = True
            response.message = f"stored, with tokens of {', '.join(sorted({tokens.modality for tokens in sample.tokens}))}"
        except BadInput as error:
            response.message = str(error)
        response.samples = len(self.state.replay_buffer) if self.state else 0
        return response

    async def _on_goal(self, goal: ServerGoalHandle) -> Adapt.Result:
        ended: Future = Future()
        # Setting a future does not wake an rclpy executor, and a sleeping executor does not look at it.
        ended.add_done_callback(lambda _: self._node.executor.wake())
        started = False
        try:
            self._loaded_state()
            if self.training:
                raise BadInput("another adaptation is running on this node")
            self.training = TrainingProcess(
                self._job(goal.request),
                lambda progress: _publish_progress(goal, progress),
                lambda outcome: self._on_end(outcome, ended),
            )
            started = True
            if goal.is_cancel_requested:
                self.training.cancel()
        except (BadInput, OSError) as error:
            ended.set_result(one_line(error))
        outcome = await ended
        if started:
            self.training = None
        result = Adapt.Result(revision=self.model.revision if self.model else "")
        if isinstance(outcome, dict):
            for name in ("success", "message", "accuracy_before", "accuracy_after", "seconds", "flops"):
                setattr(result, name, outcome[name])
            result.peak_memory = outcome["peak_memory_mb"]
        else:
            result.message = outcome
        self._node.get_logger().info(f"adaptation: {result.message}")
        if goal.is_cancel_requested and not result.success:
            goal.canceled()
        elif isinstance(outcome, dict):
            goal.succeed()
        else:
            goal.abort()
        return result

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if training := self.training:
            training.cancel()
        return CancelResponse.ACCEPT

    def _job(self, request: Adapt.Goal) -> AdaptationJob:
        config = self._node.config
        return AdaptationJob(
            model=str(model_folder(config.model).resolve()),
            modalities=list(request.modalities),
            recording=request.recording,
            rig=config.rig,
            device=config.device,
            state=config.state,
            robot=self._node.get_namespace(),
            seconds=request.seconds,
            flops=request.flops,
            memory=request.memory,
            margin=request.margin,
        )

    def _on_end(self, outcome: dict | str, ended: Future) -> None:
        """Runs in a thread of the training: the new weights are loaded while the old ones answer, then swapped in."""
        if isinstance(outcome, str) or not outcome["success"]:
            ended.set_result(outcome)
            return
        try:
            model = self.model.load_variant(Path(outcome["serving"]))
        except Exception as error:  # a goal without an outcome would have every later one refused
            if not isinstance(error, BadInput):
                traceback.print_exc()
            reason = f"the new weights cannot be loaded: {one_line(error)}"
            ended.set_result(f"{reason}; the old ones stay in use until the llm node is started again")
            return

        def swap() -> None:
            self._node.worker.assistant.model = self.model = model
            ended.set_result(outcome)

        self._node.worker.between(swap)


def _publish_progress(goal: ServerGoalHandle, progress: dict) -> None:
    names = ("plan", "step", "steps", "loss", "accuracy", "seconds", "flops")
    goal.publish_feedback(Adapt.Feedback(**{name: progress[name] for name in names}))
