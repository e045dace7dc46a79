# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes what a robot senses, plans and says into a rerun recording: the node behind `--rerun FILE.rrd`."""

from __future__ import annotations

import dataclasses
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter

from ...config import ReplayConfig
from ...datatypes import BadInput
from ...io.rosbag import Recording
from ...msg import Answer, ModalityPlan, SensorHealth
from ...rig import Rig, load_rig
from ...visualization.drawing import Moment
from ...visualization.rerun_file import RerunFile
from ..replay import Replay
from ..ros_support import qos
from ..ros_support.messages import answer_from_message, health_from_message, plan_from_message
from ..ros_support.process import spin
from ..sources.recorded_topics import sensor_remapping
from .sensor_views import Views

PERIOD = 0.5
"""Pictures and points are written so often [s]."""


class RerunRecorder(Node):
    """Raises BadInput as RerunFile does. `judge` adds what only a simulator knows: whether an answer was right."""

    def __init__(self, path: str, rig: Rig, **node_arguments: Any) -> None:
        self._file = RerunFile(path, rig)  # first: without it there is nothing to clean up
        super().__init__("rerun_recorder", **node_arguments)
        self._views = Views(self, rig)
        self.create_subscription(Answer, "mmllm/answers", self._on_answer, qos.RELIABLE)
        self.create_subscription(SensorHealth, "mmllm/health", self._on_health, qos.RELIABLE)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self.create_timer(PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def destroy_node(self) -> None:
        self._file.close()
        super().destroy_node()

    def judge(self, moment: Moment) -> None:
        """Write the verdict on an answer, where its truth is known."""
        if moment.truth:
            self._file.verdict(moment.answer, moment.truth, self._now())

    def _look(self) -> None:
        self._views.look()
        if now := self._now():
            self._file.see(self._views.images, self._views.points, now)

    def _on_answer(self, message: Answer) -> None:
        self._write(self._file.answer, answer_from_message, message)

    def _on_health(self, message: SensorHealth) -> None:
        self._write(self._file.health, health_from_message, message)

    def _on_plan(self, message: ModalityPlan) -> None:
        self._write(self._file.plan, plan_from_message, message)

    def _write(self, write: Any, convert: Any, message: Any) -> None:
        if not (now := self._now()):
            return  # before the first /clock it is 1970, and the timeline would begin there
        try:
            write(convert(message), now)
        except BadInput as error:
            self.get_logger().warning(f"refused: {error}", throttle_duration_sec=5.0)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds


def play_into(path: str, config: ReplayConfig, rig_name: str) -> int:
    """`mmllm replay BAG --rerun FILE.rrd` without questions: play once, or until Ctrl-C, and return the exit status."""

    def make_nodes() -> list[Node]:
        rig = load_rig(rig_name)
        _, remap = sensor_remapping(Recording(config.bag), rig, config.topics)
        recorder = RerunRecorder(path, rig, cli_args=remap, parameter_overrides=[Parameter("use_sim_time", value=True)])
        overrides = [Parameter(name, value=value) for name, value in dataclasses.asdict(config).items()]
        return [recorder, Replay(on_end=rclpy.try_shutdown, parameter_overrides=overrides)]

    return spin(make_nodes, [])
