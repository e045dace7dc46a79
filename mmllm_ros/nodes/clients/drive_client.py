# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The client of a drive: asks questions at an interval, logs the answers, and compares them with the simulator's ground truth."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ...config import DriveConfig
from ...datatypes import Answer, BadInput, Plan
from ...dialogue.description import described_place
from ...evaluation.guessing import Guessing
from ...latent.manifest import LLM_FOLDER, Manifest
from ...msg import ModalityPlan
from ...resources import model_folder
from ...rig import load_rig
from ...simulator.questions.question_maker import ask
from ...simulator.truth import SceneTruth
from ...visualization.drawing import AnswerSnapshot
from ...visualization.run_log import RunLog
from ..ros_support import qos
from ..ros_support.messages import plan_from_message
from ..ros_support.parameters import declare
from ..visualization.sensor_views import SensorViews
from .ask_client import AskClient

QUESTIONS = (
    "Are there any cars?",
    "Am I moving?",
    "How many pedestrians are there?",
    "Are there any trucks?",
    "Am I turning?",
)
"""Asked in turn where there is no ground truth."""

READY_TIMEOUT = 15.0
"""Questions wait at most so long [s] until every modality of the rig is plugged or can be encoded on request."""


class DriveClient(Node):
    """Asks every `interval` seconds and ends the drive after `duration`; with `interval` 0 it asks nothing.

    `failure` says why no question was answered, empty where one was. `truth` returns the ground truth of a simulator, None
    without one; `on_answer` gets every answer. `make_nodes` sets both.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("drive", **node_arguments)
        self.config = declare(self, DriveConfig)
        self.truth: Callable[[], SceneTruth | None] = lambda: None
        self.on_answer: Callable[[AnswerSnapshot], None] = lambda snapshot: None
        self._rig = load_rig(self.config.rig)
        folder = model_folder(self.config.model)
        self._guessing = Guessing(self.config.model, self._rig)
        # A model with an LLM of its own knows only the words of the templates.
        own = Manifest.read(folder).llm == LLM_FOLDER
        self._language = "template" if own else "everyday"
        self._log = RunLog(Path(self.config.out, self.get_namespace().lstrip("/"))) if self.config.interval else None
        self.failure = ""
        self._last_refusal = ""
        self._rng = np.random.default_rng(self.config.seed)
        self._questions = itertools.cycle(QUESTIONS)
        self._plan: Plan | None = None
        self._ending = False
        self._started = time.monotonic()
        self._views = SensorViews(self, self._rig)
        self._client = AskClient(self)
        self._end_condition = self.create_guard_condition(self._on_end)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        if self.config.interval:
            self.create_timer(self.config.interval, self._ask, clock=steady)
        if self.config.duration:
            self.create_timer(self.config.duration, self.end, clock=steady)

    def destroy_node(self) -> None:
        if self._log:
            self._log.close()
        self._client.destroy()
        super().destroy_node()

    def end(self) -> None:
        """End the drive, from any thread."""
        self._end_condition.trigger()

    def _on_end(self) -> None:
        self._ending = True
        if not self._client.busy:  # else the drive ends after the answer
            if self._log and not self._log.asked:
                self.failure = f"no question was answered in {time.monotonic() - self._started:.0f} s: {self._why_not()}"
            self.executor.shutdown(timeout_sec=0)

    def _why_not(self) -> str:
        """Why no question has been answered yet."""
        if self._last_refusal:
            return self._last_refusal
        if self._plan is None:
            return "the context monitor has published no plan"
        unplugged = {mount.modality for mount in self._rig.mounts} - self._plugged()
        faults = [f"{modality}: {reason}" for modality, reason in self._plan.reasons.items() if modality in unplugged]
        return "; ".join(faults) or "the drive was too short, the model was still loading"

    def _on_plan(self, message: ModalityPlan) -> None:
        try:
            self._plan = plan_from_message(message)
        except BadInput as error:
            self.get_logger().warning(f"plan rejected: {error}", throttle_duration_sec=5.0)

    def _ask(self) -> None:
        waiting = not self._sensors_ready() and time.monotonic() - self._started < READY_TIMEOUT
        if self._ending or waiting or not self._client.ready:
            return
        question, truth = self._question()
        if question:
            self._views.update()
            self._client.ask(question).add_done_callback(lambda future: self._on_outcome(future.result(), truth))

    def _sensors_ready(self) -> bool:
        """Whether the plan can use every modality of the rig."""
        if self._plan is None:
            return False
        return {mount.modality for mount in self._rig.mounts} <= self._plugged() | set(self._plan.available)

    def _plugged(self) -> set[str]:
        """The modalities that the plan plugs."""
        return {modality for modality, on in self._plan.plugged.items() if on}

    def _question(self) -> tuple[str, str]:
        """A question and its true answer, empty where it is not known; no question before the first frame of the simulator."""
        if self.config.source != "simulator":
            return next(self._questions), ""
        if (truth := self.truth()) is None:
            return "", ""
        asked = ask(truth, self._rig, self._rng, 1, language=self._language)
        # "What is behind me?" gets a description, which the answer of one word cannot be compared with.
        asked = [question for question in asked if described_place(question.question) is None]
        return (asked[0].question, asked[0].answer) if asked else ("", "")

    def _on_outcome(self, answer: Answer | str, truth: str) -> None:
        if self._ending:
            self.end()
        if isinstance(answer, str):
            self._last_refusal = answer
            self.get_logger().warning(answer, throttle_duration_sec=5.0)
            return
        context = self._plan.context if self._plan else ""
        snapshot = AnswerSnapshot(dict(self._views.images), self._views.points, answer, truth, context)
        guess = self._guessing.right(answer.question, context) if truth else 0.0
        self._log.add(snapshot, time.monotonic() - self._started, guess)
        self.on_answer(snapshot)
