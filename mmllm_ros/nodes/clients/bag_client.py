# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Asks questions about a bag while it is replayed over DDS, each when all recorded modalities are available."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ...context.modality_selection import NOT_SELECTED
from ...datatypes import NANOSECONDS, Answer, BadInput
from ...msg import ModalityPlan, SensorHealth, SensorTokens
from ...rig import Rig
from ...visualization.drawing import AnswerSnapshot
from ..ros_support import qos
from ..ros_support.clock_jumps import on_jump_back
from ..ros_support.messages import plan_from_message
from ..visualization.sensor_views import SensorViews
from .ask_client import AskClient

MAX_AGE = NANOSECONDS
"""A modality whose latest tokens are older [ns] is not available."""

PASSES = 2
"""After so many passes through the bag a question is answered without the modalities that are still not available."""

CONFIGURE_TIMEOUT = 30.0
"""The bag starts when every encoder is configured, at the latest after this time [s]."""


class BagClient(Node):
    """Asks each question once all `modalities` are plugged and have recent tokens; after the last answer it stops the executor.

    `on_answer` gets each answer. A question is asked again if the answer lacks a modality that has dropped out meanwhile, but
    not if the plan or the question leaves out a healthy modality. After PASSES passes a question is asked as things are, the
    modalities that were missing are named in the log, and later questions do not wait for them. `ready` is set when every
    encoder is configured.
    """

    def __init__(
        self,
        questions: Sequence[str],
        rig: Rig,
        modalities: set[str],
        on_answer: Callable[[AnswerSnapshot], None],
        **node_arguments: Any,
    ) -> None:
        super().__init__("bag_client", **node_arguments)
        self.ready = threading.Event()
        self._questions = list(questions)
        self._modalities = modalities
        self._on_answer = on_answer
        self._views = SensorViews(self, rig)
        self._passes = 0
        self._configured: set[str] = set()
        self._plan_context = ""
        self._plugged: set[str] = set()
        self._not_selected: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._token_stamps: dict[str, int] = {}
        self._started = time.monotonic()
        self._client = AskClient(self)
        self.create_subscription(SensorHealth, "mmllm/health", lambda m: self._configured.add(m.modality), qos.RELIABLE)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self.create_subscription(SensorTokens, "mmllm/tokens", self._on_tokens, qos.RELIABLE)
        self.create_timer(0.05, self._step, clock=Clock(clock_type=ClockType.STEADY_TIME))
        on_jump_back(self, self._on_next_pass)

    def destroy_node(self) -> None:
        self._client.destroy()
        super().destroy_node()

    def _on_plan(self, message: ModalityPlan) -> None:
        try:
            plan = plan_from_message(message)
        except BadInput as error:
            self.get_logger().warning(f"plan rejected: {error}", throttle_duration_sec=5.0)
            return
        self._plan_context = plan.context
        self._plugged = {modality for modality, on in plan.plugged.items() if on}
        self._reasons = plan.reasons
        self._not_selected = _not_selected({name: self._reasons[name] for name in self._reasons if name not in self._plugged})

    def _on_tokens(self, message: SensorTokens) -> None:
        self._token_stamps[message.modality] = message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec

    def _on_next_pass(self) -> None:
        self._passes += self.ready.is_set()
        self._token_stamps.clear()

    def _step(self) -> None:
        if not self.ready.is_set():
            if self._modalities <= self._configured or time.monotonic() - self._started > CONFIGURE_TIMEOUT:
                self.ready.set()
        elif self._client.ready and (self._overdue or self._modalities - self._not_selected <= self._available()):
            self._views.update()
            self._client.ask(self._questions[0]).add_done_callback(lambda future: self._on_outcome(future.result()))

    def _available(self) -> set[str]:
        """The modalities that are plugged and have recent tokens."""
        now = self.get_clock().now().nanoseconds
        return self._plugged & {name for name, stamp in self._token_stamps.items() if abs(now - stamp) <= MAX_AGE}

    @property
    def _overdue(self) -> bool:
        """Whether the first question in line has waited for PASSES passes."""
        return self._passes >= PASSES

    def _on_outcome(self, answer: Answer | str) -> None:
        if isinstance(answer, str):
            if self._overdue:
                self.get_logger().error(f"no answer to {self._questions[0]!r} in {PASSES} passes: {answer}")
                self._next_question()
            else:
                self.get_logger().warning(answer, throttle_duration_sec=2.0)
            return
        missing = self._modalities - {item.modality for item in answer.evidence} - _not_selected(answer.unplugged)
        if missing and not self._overdue:
            return
        for modality in sorted(missing):
            reason = answer.unplugged.get(modality) or self._reasons.get(modality, "no reason given")
            self.get_logger().warning(f"{modality} was not available in {PASSES} passes ({reason}): answered without it")
        self._modalities = self._modalities - missing
        self._on_answer(AnswerSnapshot(dict(self._views.images), self._views.points, answer, context=self._plan_context))
        self._next_question()

    def _next_question(self) -> None:
        self._questions.pop(0)
        self._passes = 0
        if not self._questions:
            self.executor.shutdown(timeout_sec=0)


def _not_selected(reasons: dict[str, str]) -> set[str]:
    """The modalities that are healthy, but left out by the plan or for the question."""
    return {modality for modality, reason in reasons.items() if reason.startswith(NOT_SELECTED)}
