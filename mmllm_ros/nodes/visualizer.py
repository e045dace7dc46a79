# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The visualizer node: publishes an overview picture, markers and coloured points, only while they are subscribed to."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from ..config import VisualizerConfig
from ..datatypes import NANOSECONDS, Answer, BadInput, Health, Plan
from ..io.frames import points_in_base
from ..msg import Answer as AnswerMessage
from ..msg import ModalityPlan, SensorHealth
from ..rig import load_rig
from ..visualization.overlay import ANSWERS, View, draw_overlay
from ..visualization.point_colours import colour_points
from ..visualization.sensor_state import HealthHistory, State, state_of
from .ros_support import qos
from .ros_support.clock_jumps import on_jump_back
from .ros_support.known_sources import KnownSources
from .ros_support.messages import answer_from_message, health_from_message, plan_from_message
from .ros_support.parameters import declare
from .ros_support.process import spin
from .visualization.markers import markers
from .visualization.picture_messages import cloud_to_message, image_to_message
from .visualization.sensor_views import SensorViews

MOST_BYTES = 6_000_000
"""Limit of the sensor messages taken for one picture [bytes]: six cameras of 1600x900 are updated in turn, each every 2 s."""

MOST_POINTS = 60_000
"""A scan with more points is subsampled."""


class Visualizer(Node):
    """Draws `rate` times a second. Subscribes to the sensors only while the picture or the points have a subscriber."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("visualizer", **node_arguments)
        self.config = declare(self, VisualizerConfig, self._on_config)
        self._rig = load_rig(self.config.rig)
        self._history = HealthHistory()
        self._sources = KnownSources()
        self._answers: deque[Answer] = deque(maxlen=ANSWERS)
        self._plan: Plan | None = None
        self._views: SensorViews | None = None
        self._overlay = self.create_publisher(Image, "mmllm/overlay", qos.LATEST)
        self._markers = self.create_publisher(MarkerArray, "mmllm/markers", qos.LATEST)
        self._points = self.create_publisher(PointCloud2, "mmllm/points", qos.LATEST)
        self.create_subscription(AnswerMessage, "mmllm/answers", self._on_answer, qos.RELIABLE)
        self.create_subscription(SensorHealth, "mmllm/health", self._on_health, qos.RELIABLE)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self._timer = self.create_timer(1.0 / self.config.rate, self._draw, clock=Clock(clock_type=ClockType.STEADY_TIME))
        on_jump_back(self, self._on_jump)

    def _on_config(self, config: VisualizerConfig) -> None:
        self.config = config
        self._timer.timer_period_ns = int(NANOSECONDS / config.rate)

    def _on_answer(self, message: AnswerMessage) -> None:
        if answer := self._accepted(answer_from_message, message):
            self._answers.appendleft(answer)

    def _on_health(self, message: SensorHealth) -> None:
        if health := self._accepted(self._known_health, message):
            self._history.add(health, self._plan)

    def _known_health(self, message: SensorHealth) -> Health:
        self._sources.check(message.modality, message.source)
        return health_from_message(message)

    def _on_plan(self, message: ModalityPlan) -> None:
        self._plan = self._accepted(plan_from_message, message) or self._plan

    def _accepted(self, convert: Any, message: Any) -> Any:
        try:
            return convert(message)
        except BadInput as error:
            self.get_logger().warning(f"rejected: {error}", throttle_duration_sec=5.0)
            return None

    def _on_jump(self) -> None:
        self._history.clear()
        self._answers.clear()

    def _draw(self) -> None:
        overlay, marked, points = (p.get_subscription_count() for p in (self._overlay, self._markers, self._points))
        self._subscribe(bool(overlay or points))
        now = self.get_clock().now().nanoseconds
        view = View(self._rig, now, history=self._history, plan=self._plan, answers=tuple(self._answers))
        if marked:
            self._markers.publish(markers(view))
        if not self._views:
            return
        self._views.update(MOST_BYTES)
        images, seen = self._views.images, None
        if scan := self._views.scan:
            seen = points_in_base(scan.points[:: 1 + len(scan.points) // MOST_POINTS], self._rig.lidar)
        if points and scan:
            plugged = {mount: images[mount.name] for mount in self._rig.cameras if mount.name in images and self._plugged(mount)}
            self._points.publish(cloud_to_message(seen, colour_points(seen, plugged), scan.stamp))
        if overlay:
            self._overlay.publish(image_to_message(draw_overlay(replace(view, images=images, points=seen)), now))

    def _subscribe(self, wanted: bool) -> None:
        """Create or destroy the subscriptions to the sensors."""
        if wanted and not self._views:
            self._views = SensorViews(self, self._rig)
        elif self._views and not wanted:
            self._views.destroy()
            self._views = None

    def _plugged(self, mount: Any) -> bool:
        return state_of(self._history.healths.get((mount.modality, mount.name)), self._plan) is State.PLUGGED


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return spin(Visualizer, args)


if __name__ == "__main__":
    sys.exit(main())
