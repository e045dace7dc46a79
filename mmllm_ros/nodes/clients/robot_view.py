# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a running robot senses, plans and answers, for a client in this process: a read-only view, and questions."""

from __future__ import annotations

import os
import threading
from collections import deque

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from ...context.latest_health import LatestHealth
from ...datatypes import Answer, BadInput, Health, Plan
from ...msg import Answer as AnswerMessage
from ...msg import ModalityPlan, SensorHealth
from ...rig import Rig
from ..ros_support import qos
from ..ros_support.diagnostics import Level, name_prefix
from ..ros_support.messages import answer_from_message, health_from_message, plan_from_message
from ..visualization.sensor_views import SensorViews
from .ask_client import SLACK, AskClient

KEPT_ANSWERS = 100


class RobotView:
    """A node that listens and asks, in a thread of its own. Methods may be called from any thread. A context manager.

    `answers` are the latest, whoever asked, the newest first; `faults` map the parts of the robot that report no good state in
    /diagnostics to their messages.
    """

    def __init__(self, rig: Rig, namespace: str = "") -> None:
        # The signals belong to the server that this view is for.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self.answers: deque[Answer] = deque(maxlen=KEPT_ANSWERS)
        self._health = LatestHealth()
        self.plan: Plan | None = None
        self.faults: dict[str, str] = {}
        self._node = rclpy.create_node(f"view_{os.getpid()}", namespace=namespace)
        self._prefix = name_prefix(self._node)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._asking = threading.Lock()
        self._client = AskClient(self._node)
        self._views = SensorViews(self._node, rig)
        for kind, topic, take, profile in (
            (AnswerMessage, "mmllm/answers", self._on_answer, qos.RELIABLE),
            (SensorHealth, "mmllm/health", self._on_health, qos.RELIABLE),
            (ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.RELIABLE),
        ):
            self._node.create_subscription(kind, topic, take, profile)
        self._thread = threading.Thread(target=self._spin, name="robot view", daemon=True)
        self._thread.start()

    @property
    def healths(self) -> dict[tuple[str, str], Health]:
        """The health of each sensor now, by modality and source."""
        return self._health.now()

    def __enter__(self) -> RobotView:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(timeout_sec=1.0)
        self._thread.join(timeout=2.0)
        self._client.destroy()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def ask(self, question: str, timeout: float) -> Answer:
        """The answer, within `timeout` [s]. Raises BadInput with the reason where there is none."""
        with self._asking:
            if not self._client.wait_for_server(timeout):
                raise BadInput(f"no llm node serves {self._node.resolve_service_name('mmllm/ask_question')}: does the robot run?")
            outcome = self._run(lambda: self._client.ask(question, timeout), timeout)
            if outcome is None:
                self._client.busy = False
                raise BadInput(f"the llm node did not respond within {timeout + SLACK:g} s")
        if isinstance(outcome, Answer):
            return outcome
        raise BadInput(outcome)

    def images(self) -> dict[str, np.ndarray]:
        """The newest image of each camera, uint8 [h, w, 3] RGB."""
        done = threading.Event()

        def update() -> None:
            self._views.update()
            done.set()

        self._executor.create_task(update)
        done.wait(SLACK)
        return dict(self._views.images)

    def _run(self, ask, timeout: float) -> Answer | str | None:
        """The outcome of the future that `ask` returns in the executor; None where it does not come."""
        found: list[Answer | str] = []
        done = threading.Event()

        def finish(future) -> None:
            found.append(future.result())
            done.set()

        self._executor.create_task(lambda: ask().add_done_callback(finish))
        return found[0] if done.wait(timeout + SLACK) else None

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except (ExternalShutdownException, ShutdownException):
            return

    def _on_answer(self, message: AnswerMessage) -> None:
        if answer := self._accepted(answer_from_message, message):
            self.answers.appendleft(answer)

    def _on_health(self, message: SensorHealth) -> None:
        if health := self._accepted(health_from_message, message):
            self._health.put(health)

    def _on_plan(self, message: ModalityPlan) -> None:
        self.plan = self._accepted(plan_from_message, message) or self.plan

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name.startswith(self._prefix) and ": " in status.name:
                name = status.name.removeprefix(self._prefix)
                others = {known: line for known, line in self.faults.items() if known != name}
                self.faults = others if status.level == Level.OK.value else {**others, name: status.message}

    def _accepted(self, convert, message):
        try:
            return convert(message)
        except BadInput as error:
            self._node.get_logger().warning(f"rejected: {error}", throttle_duration_sec=5.0)
            return None
