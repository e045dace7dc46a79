# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The interviewer of a replayed bag: asks given questions in turn, each when all recorded modalities are live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ...action import AskQuestion
from ...context.modality_selection import LEFT_OUT
from ...datatypes import NANOSECONDS
from ...msg import ModalityPlan, SensorHealth, SensorTokens
from ...rig import Rig
from ...visualization.drawing import Moment
from ..ros_support import qos
from ..ros_support.clock_jumps import on_jump_back
from ..ros_support.messages import answer_from_message
from ..visualization.sensor_views import Views

FRESH = NANOSECONDS
"""A modality whose newest tokens are older [ns] is not there."""

PASSES = 2
"""After so many times through the bag a question waits only for the most modalities that ever were there together."""

READY = 30.0
"""The bag starts when every encoder is configured, or after so many seconds."""


class BagClient(Node):
    """Asks each question once all `modalities` are plugged and fresh, hands each answer to `on_answer`, and ends the spinning.

    An answer that still lacks one of them, because a sensor fell silent meanwhile, is asked for again. One that the plan, or
    the question, leaves out although it works is not missed.
    """

    def __init__(
        self,
        questions: Sequence[str],
        rig: Rig,
        modalities: set[str],
        on_answer: Callable[[Moment], None],
        **node_arguments: Any,
    ) -> None:
        super().__init__("interviewer", **node_arguments)
        self.ready = threading.Event()
        self._waiting = list(questions)
        self._modalities = modalities
        self._on_answer = on_answer
        self._views = Views(self, rig)
        self._passes = 0
        self._asking = False
        self._configured: set[str] = set()
        self._plan: ModalityPlan | None = None
        self._plugged: set[str] = set()
        self._spared: set[str] = set()
        self._tokens: dict[str, int] = {}
        self._most: set[str] = set()
        self._began = time.monotonic()
        self._client = ActionClient(self, AskQuestion, "mmllm/ask_question")
        self.create_subscription(SensorHealth, "mmllm/health", lambda m: self._configured.add(m.modality), qos.RELIABLE)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self.create_subscription(SensorTokens, "mmllm/tokens", self._on_tokens, qos.RELIABLE)
        self.create_timer(0.05, self._step, clock=Clock(clock_type=ClockType.STEADY_TIME))
        on_jump_back(self, self._on_next_pass)

    def destroy_node(self) -> None:
        self._client.destroy()
        super().destroy_node()

    def _on_plan(self, plan: ModalityPlan) -> None:
        self._plan = plan
        self._plugged = {modality for modality, on in zip(plan.modalities, plan.plugged, strict=True) if on}
        reasons = dict(zip(plan.modalities, plan.reasons, strict=True))
        self._spared = {name for name, reason in reasons.items() if name not in self._plugged and reason.startswith(LEFT_OUT)}

    def _on_tokens(self, message: SensorTokens) -> None:
        self._tokens[message.modality] = message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec

    def _on_next_pass(self) -> None:
        self._passes += self.ready.is_set()
        self._tokens.clear()

    def _step(self) -> None:
        if not self.ready.is_set():
            if self._modalities <= self._configured or time.monotonic() - self._began > READY:
                self.ready.set()
        elif not self._asking and self._wanted() - self._spared <= self._live() and self._client.server_is_ready():
            self._asking = True
            self._views.look()
            goal = AskQuestion.Goal(question=self._waiting[0])
            self._client.send_goal_async(goal).add_done_callback(
                lambda future: future.result().get_result_async().add_done_callback(self._on_result)
            )

    def _live(self) -> set[str]:
        """The modalities that are plugged, with tokens that are fresh."""
        now = self.get_clock().now().nanoseconds
        live = self._plugged & {modality for modality, stamp in self._tokens.items() if abs(now - stamp) <= FRESH}
        self._most = max(self._most, live, key=len)
        return live

    def _wanted(self) -> set[str]:
        return self._modalities if self._passes < PASSES else self._modalities & self._most

    def _on_result(self, future: Any) -> None:
        self._asking = False
        result = future.result().result
        if not result.success:
            self.get_logger().warning(result.message, throttle_duration_sec=2.0)
            return
        answer = answer_from_message(result.answer)
        missing = self._wanted() - {item.modality for item in answer.evidence}
        spared = {name for name, reason in answer.unplugged.items() if reason.startswith(LEFT_OUT)}
        if missing <= spared or self._passes >= 2 * PASSES:
            context = self._plan.context if self._plan else ""
            self._on_answer(Moment(dict(self._views.images), self._views.points, answer, context=context))
            self._waiting.pop(0)
            if not self._waiting:
                self.executor.shutdown(timeout_sec=0)
