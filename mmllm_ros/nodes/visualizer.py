# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The visualizer node: the newest answer as a picture and as markers for rviz, drawn only while somebody looks."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Vector3
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from ..config import VisualizerConfig
from ..datatypes import NANOSECONDS, Answer, BadInput
from ..drawing import Moment, draw_card, evidence_text
from ..msg import Answer as AnswerMessage
from ..msg import ModalityPlan
from ..rig import load_rig
from . import qos
from .messages import BASE_FRAME, answer_from_message, header
from .parameters import declare
from .process import spin
from .views import Views

WAITING = Answer(0, "", "no question yet", "", 0.0, (), {}, 0.0, "", "")
_GREEN, _GREY, _WHITE = (0.2, 0.8, 0.4), (0.45, 0.45, 0.45), (1.0, 1.0, 1.0)


class Visualizer(Node):
    """Draws `rate` times a second; without a subscriber it takes no image and draws nothing."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("visualizer", **node_arguments)
        self.config = declare(self, VisualizerConfig, self._on_config)
        self._answer = WAITING
        self._plan = ModalityPlan()
        self._views = Views(self, load_rig(self.config.rig))
        self._overlay = self.create_publisher(Image, "mmllm/overlay", qos.RELIABLE)
        self._markers = self.create_publisher(MarkerArray, "mmllm/markers", qos.RELIABLE)
        self.create_subscription(AnswerMessage, "mmllm/answers", self._on_answer, qos.RELIABLE)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self._timer = self.create_timer(1.0 / self.config.rate, self._draw, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_config(self, config: VisualizerConfig) -> None:
        self.config = config
        self._timer.timer_period_ns = int(NANOSECONDS / config.rate)

    def _on_answer(self, message: AnswerMessage) -> None:
        try:
            self._answer = answer_from_message(message)
        except BadInput as error:
            self.get_logger().warning(f"refused: {error}", throttle_duration_sec=5.0)

    def _on_plan(self, plan: ModalityPlan) -> None:
        self._plan = plan

    def _draw(self) -> None:
        if self._overlay.get_subscription_count():
            self._views.look()
            moment = Moment(self._views.images, self._views.points, self._answer, context=self._plan.context)
            self._overlay.publish(self._image(draw_card(moment)))
        if self._markers.get_subscription_count():
            self._markers.publish(MarkerArray(markers=self._texts()))

    def _image(self, picture: np.ndarray) -> Image:
        height, width, _ = picture.shape
        data = array("B", picture.tobytes())
        now = self.get_clock().now().nanoseconds
        return Image(header=header(now, BASE_FRAME), height=height, width=width, encoding="rgb8", step=3 * width, data=data)

    def _texts(self) -> list[Marker]:
        """The answer over the robot, what it rests on, and a line for every modality: green plugged, grey not."""
        answer = self._answer
        lines = [
            (f"{answer.question}\n{answer.answer} ({answer.confidence:.0%})", _WHITE, 0.5),
            (f"from {evidence_text(answer)}", _WHITE, 0.3),
        ]
        for modality, plugged in zip(self._plan.modalities, self._plan.plugged):
            lines.append((f"{modality}{'' if plugged else ' unplugged'}", _GREEN if plugged else _GREY, 0.3))
        return [self._text(number, 4.5 - 0.6 * number, *line) for number, line in enumerate(lines)]

    def _text(self, number: int, height: float, text: str, colour: tuple[float, float, float], size: float) -> Marker:
        marker = Marker(header=header(self.get_clock().now().nanoseconds, BASE_FRAME), ns="mmllm", id=number)
        marker.type, marker.action, marker.text = Marker.TEXT_VIEW_FACING, Marker.ADD, text
        marker.pose.position = Point(x=0.0, y=0.0, z=height)
        marker.pose.orientation.w = 1.0
        marker.scale = Vector3(x=0.0, y=0.0, z=size)
        marker.color = ColorRGBA(r=colour[0], g=colour[1], b=colour[2], a=1.0)
        return marker


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return spin(Visualizer, args)


if __name__ == "__main__":
    sys.exit(main())
