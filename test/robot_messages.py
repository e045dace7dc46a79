# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of a robot for tests of visualization: a camera, a lidar, their health, a plan and an answer."""

from __future__ import annotations

from array import array

import numpy as np
from mmllm_ros.msg import Answer, ModalityPlan, SensorHealth
from sensor_msgs.msg import Image, PointCloud2, PointField

from mmllm_ros.datatypes import Answer as PlainAnswer
from mmllm_ros.datatypes import Evidence, Health, Plan
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.ros_support.messages import answer_to_message, header, health_to_message, plan_to_message

RED = (200, 10, 10)


def publish_answer(ros, text="yes", lidar_reason="fewer than 50 returns") -> int:
    """Health of a camera and a lidar, a plan, an answer; returns their stamp."""
    stamp = ros.tester.get_clock().now().nanoseconds
    plan = Plan(stamp, {"camera": True, "lidar": False}, {"camera": "healthy", "lidar": lidar_reason}, "night", 0)
    ros.publisher(ModalityPlan, "mmllm/plan", qos.LATCHED).publish(plan_to_message(plan))
    health = ros.publisher(SensorHealth, "mmllm/health")
    for modality, source in (("camera", "front"), ("lidar", "lidar")):
        health.publish(health_to_message(Health(modality, source, stamp, 10.0, 0.1, 0.0, 0, {}, modality == "camera", "")))
    answer = PlainAnswer(stamp, "q", "Any cars?", text, 0.8, (Evidence("camera", "front", stamp, 0.2),), {}, 0.1, "m", "r")
    ros.publisher(Answer, "mmllm/answers").publish(answer_to_message(answer))
    return stamp


def camera_image(ros) -> Image:
    image = Image(height=40, width=80, encoding="rgb8", step=240, data=bytes(RED) * 3200)
    image.header = header(ros.tester.get_clock().now().nanoseconds, "camera")
    return image


def scan(stamp: int, points: list[tuple[float, float, float]]) -> PointCloud2:
    fields = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")]
    data = array("B", np.float32(points).tobytes())
    size = {"height": 1, "width": len(points), "point_step": 12, "row_step": 12 * len(points)}
    return PointCloud2(header=header(stamp, "lidar"), fields=fields, data=data, **size)
