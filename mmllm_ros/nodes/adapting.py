# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Action mmllm/adapt: a training in the background, its progress, its cancel, and the swap between two questions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from ..action import Adapt
from ..adaptation.job import Job
from ..config import LlmConfig
from ..datatypes import BadInput
from ..resources import model_folder
from .answering import AnsweringWorker
from .learning import Learning
from .training import Training


class Adapting:
    """Offers the action on `node`, whose `worker` answers with what `learning` loaded; `config` is the configuration now."""

    def __init__(self, node: Node, worker: AnsweringWorker, learning: Learning, config: Callable[[], LlmConfig]) -> None:
        self._node, self._worker, self._learning, self._config = node, worker, learning, config
        self._training: Training | None = None
        # A goal is awaited for minutes.
        group = ReentrantCallbackGroup()
        self._server = ActionServer(
            node, Adapt, "mmllm/adapt", self._on_goal, callback_group=group, cancel_callback=self._on_cancel
        )

    def close(self) -> None:
        """End a training and destroy the action server, which its node does not know."""
        if training := self._training:
            training.close()
        self._server.destroy()

    async def _on_goal(self, goal: ServerGoalHandle) -> Adapt.Result:
        ended: Future = Future()
        # Setting a future does not wake an rclpy executor, and one that sleeps never looks at it.
        ended.add_done_callback(lambda _: self._node.executor.wake())
        mine = False
        try:
            self._learning.ready()
            if self._training:
                raise BadInput("another adaptation is running on this node")
            self._training = Training(
                self._job(goal.request), lambda numbers: _tell(goal, numbers), lambda end: self._end(end, ended)
            )
            mine = True
            if goal.is_cancel_requested:
                self._training.cancel()
        except (BadInput, OSError) as error:
            ended.set_result(" ".join(str(error).split()))
        outcome = await ended
        if mine:
            self._training = None
        result = Adapt.Result(revision=self._learning.model.revision if self._learning.model else "")
        if isinstance(outcome, dict):
            names = ("success", "message", "accuracy_before", "accuracy_after", "seconds", "flops")
            for name in names:
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
        if training := self._training:
            training.cancel()
        return CancelResponse.ACCEPT

    def _job(self, request: Adapt.Goal) -> Job:
        config = self._config()
        return Job(
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

    def _end(self, outcome: dict | str, ended: Future) -> None:
        """In the training's thread: the new weights are read while the old ones answer."""
        if isinstance(outcome, str) or not outcome["success"]:
            ended.set_result(outcome)
            return
        try:
            model = self._learning.model.load_variant(Path(outcome["serving"]))
        except BadInput as error:
            ended.set_result(str(error))
            return

        def swap() -> None:
            self._worker.assistant.model = self._learning.model = model
            ended.set_result(outcome)

        self._worker.between(swap)


def _tell(goal: ServerGoalHandle, numbers: dict) -> None:
    kept = ("plan", "step", "steps", "loss", "accuracy", "seconds", "flops")
    goal.publish_feedback(Adapt.Feedback(**{name: numbers[name] for name in kept}))
