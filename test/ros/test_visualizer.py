# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The visualizer over DDS: a picture and markers of the newest answer, and no work while nobody looks."""

from __future__ import annotations

import numpy as np
from mmllm_ros.msg import Answer, ModalityPlan
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from mmllm_ros.datatypes import NANOSECONDS, Evidence, Plan
from mmllm_ros.datatypes import Answer as PlainAnswer
from mmllm_ros.nodes import qos
from mmllm_ros.nodes.messages import answer_to_message, plan_to_message
from mmllm_ros.nodes.visualizer import Visualizer


def start(ros) -> Visualizer:
    return ros.add(Visualizer(parameter_overrides=[Parameter("rate", value=10.0)]))


def say(ros, text="yes") -> None:
    stamp = ros.tester.get_clock().now().nanoseconds
    plan = Plan(stamp, {"camera": True, "lidar": False}, {"camera": "healthy", "lidar": "hardly any returns"}, "night", 0)
    ros.publisher(ModalityPlan, "mmllm/plan", qos.LATCHED).publish(plan_to_message(plan))
    answer = PlainAnswer(stamp, "q", "Any cars?", text, 0.8, (Evidence("camera", "front", stamp, 0.2),), {}, 0.1, "m", "r")
    ros.publisher(Answer, "mmllm/answers").publish(answer_to_message(answer))


def camera_image(ros) -> Image:
    stamp = ros.tester.get_clock().now().nanoseconds
    image = Image(height=40, width=80, encoding="rgb8", step=240, data=bytes([200, 10, 10]) * 3200)
    image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp, NANOSECONDS)
    return image


def test_the_overlay_shows_the_camera_and_changes_with_the_answer(ros):
    start(ros)
    pictures = ros.collect(Image, "mmllm/overlay")
    camera = ros.publisher(Image, "camera/front/image_raw")
    camera.publish(camera_image(ros))

    def newest() -> np.ndarray:
        image = pictures[-1]
        return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)

    # The camera fills the upper left of the card: 240 of 400 rows, 480 of 720 columns.
    ros.until(lambda: pictures and np.abs(newest()[120, 240].astype(int) - [200, 10, 10]).max() < 8)
    before = newest()[240:].copy()
    say(ros)
    ros.until(lambda: (newest()[240:] != before).any())
    assert pictures[-1].header.frame_id == "base_link"


def test_markers_tell_answer_evidence_and_what_is_unplugged(ros):
    start(ros)
    arrays = ros.collect(MarkerArray, "mmllm/markers")
    say(ros)
    ros.until(lambda: arrays and any("yes (80%)" in marker.text for marker in arrays[-1].markers))
    ros.until(lambda: "lidar unplugged" in [marker.text for marker in arrays[-1].markers])
    texts = [marker.text for marker in arrays[-1].markers]
    assert "from camera front 0.20 s" in texts and "camera" in texts


def test_nothing_is_taken_or_drawn_while_nobody_looks(ros, monkeypatch):
    node = start(ros)
    looked = []
    monkeypatch.setattr(node._views, "look", lambda: looked.append(1))
    say(ros)
    ros.until(lambda: node._answer.answer == "yes")
    assert not looked
    ros.collect(Image, "mmllm/overlay")
    ros.until(lambda: looked)
