# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The passenger of a drive: asks over DDS as any client does, knows the truth where there is a simulator, keeps the logbook."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ...action import AskQuestion
from ...config import DriveConfig
from ...datatypes import BadInput
from ...msg import ModalityPlan
from ...rig import load_rig
from ...simulator.questions.question_maker import ask
from ...simulator.truth import SceneTruth
from ...visualization.drawing import Moment
from ...visualization.run_log import RunLog
from ..ros_support import qos
from ..ros_support.messages import answer_from_message
from ..ros_support.parameters import declare
from ..visualization.sensor_views import Views

STANDING = (
    "Are there any cars?",
    "Am I moving?",
    "How many pedestrians are there?",
    "Are there any trucks?",
    "Am I turning?",
)
"""Asked in turn where nobody knows the truth."""

PATIENCE = 10.0
"""Questions wait so long [s] for the first sensor to be plugged."""


class DriveClient(Node):
    """Asks every `interval` seconds and ends the drive after `duration`. `truth` and `on_moment` are set by whoever drives."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("drive", **node_arguments)
        self.config = declare(self, DriveConfig)
        self.truth: Callable[[], SceneTruth | None] = lambda: None
        self.on_moment: Callable[[Moment], None] = lambda moment: None
        self._rig = load_rig(self.config.rig)
        self._logbook = RunLog(Path(self.config.out, self.get_namespace().lstrip("/")))
        self._rng = np.random.default_rng(self.config.seed)
        self._standing = itertools.cycle(STANDING)
        self._plan: ModalityPlan | None = None
        self._waiting = self._ending = False
        self._started = time.monotonic()
        self._views = Views(self, self._rig)
        self._client = ActionClient(self, AskQuestion, "mmllm/ask_question")
        self._over = self.create_guard_condition(self._end)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self.config.interval, self._ask, clock=steady)
        if self.config.duration:
            self.create_timer(self.config.duration, self.end, clock=steady)

    def destroy_node(self) -> None:
        self._logbook.close()
        self._client.destroy()
        super().destroy_node()

    def end(self) -> None:
        """End the drive, from any thread."""
        self._over.trigger()

    def _end(self) -> None:
        self._ending = True
        if not self._waiting:  # else the answer that is under way comes first
            self.executor.shutdown(timeout_sec=0)

    def _on_plan(self, plan: ModalityPlan) -> None:
        self._plan = plan

    def _ask(self) -> None:
        plugged = self._plan and any(self._plan.plugged)
        early = not plugged and time.monotonic() - self._started < PATIENCE
        if self._waiting or self._ending or early or not self._client.server_is_ready():
            return
        question, answer = self._question()
        if not question:
            return
        self._waiting = True
        self._views.look()
        sent = self._client.send_goal_async(AskQuestion.Goal(question=question))
        sent.add_done_callback(lambda future: self._on_accepted(future, answer))

    def _question(self) -> tuple[str, str]:
        """A question and its true answer, empty where nobody knows; no question while the simulator has shown nothing."""
        if self.config.source != "simulator":
            return next(self._standing), ""
        if (truth := self.truth()) is None:
            return "", ""
        asked = ask(truth, self._rig, self._rng, 1)
        return (asked[0].question, asked[0].answer) if asked else ("", "")

    def _on_accepted(self, future: Any, truth: str) -> None:
        future.result().get_result_async().add_done_callback(lambda future: self._on_result(future, truth))

    def _on_result(self, future: Any, truth: str) -> None:
        self._waiting = False
        if self._ending:
            self.end()
        result = future.result().result
        if not result.success:
            self.get_logger().warning(result.message, throttle_duration_sec=5.0)
            return
        try:
            answer = answer_from_message(result.answer)
        except BadInput as error:
            self.get_logger().warning(str(error))
            return
        context = self._plan.context if self._plan else ""
        moment = Moment(dict(self._views.images), self._views.points, answer, truth, context)
        self._logbook.add(moment, time.monotonic() - self._started)
        self.on_moment(moment)
