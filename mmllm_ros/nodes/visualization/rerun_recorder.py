# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node behind `--rerun FILE.rrd`: writes sensor data, health, plans and answers into a rerun recording."""

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
from ...visualization.drawing import AnswerSnapshot
from ...visualization.rerun_file import RerunFile
from ..replay import Replay
from ..ros_support import qos
from ..ros_support.messages import answer_from_message, health_from_message, plan_from_message
from ..ros_support.process import spin
from ..sources.recorded_topics import sensor_remapping
from .sensor_views import SensorViews

PERIOD = 0.5
"""Images and points are written at this interval [s]."""


class RerunRecorder(Node):
    """Records until it is destroyed. Raises BadInput as RerunFile does."""

    def __init__(self, path: str, rig: Rig, **node_arguments: Any) -> None:
        self._file = RerunFile(path, rig)  # first: if it raises, there is no node to destroy
        super().__init__("rerun_recorder", **node_arguments)
        self._views = SensorViews(self, rig)
        self.create_subscription(Answer, "mmllm/answers", self._on_answer, qos.RELIABLE)
        self.create_subscription(SensorHealth, "mmllm/health", self._on_health, qos.RELIABLE)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self.create_timer(PERIOD, self._update, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def destroy_node(self) -> None:
        self._file.close()
        super().destroy_node()

    def add_truth(self, snapshot: AnswerSnapshot) -> None:
        """Write whether an answer is right, where the ground truth is known."""
        if snapshot.truth:
            self._file.add_truth(snapshot.answer, snapshot.truth, self._now())

    def _update(self) -> None:
        self._views.update()
        if now := self._now():
            self._file.add_sensor_data(self._views.images, self._views.points, now)

    def _on_answer(self, message: Answer) -> None:
        self._write(self._file.answer, answer_from_message, message)

    def _on_health(self, message: SensorHealth) -> None:
        self._write(self._file.health, health_from_message, message)

    def _on_plan(self, message: ModalityPlan) -> None:
        self._write(self._file.plan, plan_from_message, message)

    def _write(self, write: Any, convert: Any, message: Any) -> None:
        if not (now := self._now()):
            return  # before the first /clock the time is 0, which would be the start of the timeline
        try:
            write(convert(message), now)
        except BadInput as error:
            self.get_logger().warning(f"rejected: {error}", throttle_duration_sec=5.0)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds


def record_replay(path: str, config: ReplayConfig, rig_name: str) -> int:
    """`mmllm replay BAG --rerun FILE.rrd` without questions: play once, or until Ctrl-C, and return the exit status."""

    def make_nodes() -> list[Node]:
        rig = load_rig(rig_name)
        _, remap = sensor_remapping(Recording(config.bag), rig, config.topics)
        recorder = RerunRecorder(path, rig, cli_args=remap, parameter_overrides=[Parameter("use_sim_time", value=True)])
        overrides = [Parameter(name, value=value) for name, value in dataclasses.asdict(config).items()]
        return [recorder, Replay(on_end=rclpy.try_shutdown, parameter_overrides=overrides)]

    return spin(make_nodes, [])
