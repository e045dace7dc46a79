# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The visualizer over DDS: a picture, markers and coloured points, and no drawing without subscribers."""

from __future__ import annotations

import numpy as np
from mmllm_ros.msg import ModalityPlan, SensorHealth
from rclpy.parameter import Parameter
from robot_messages import RED, camera_image, publish_answer, scan
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

from mmllm_ros.datatypes import NANOSECONDS
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.ros_support.messages import header
from mmllm_ros.nodes.ros_support.polled_subscription import PolledSubscription
from mmllm_ros.nodes.visualizer import Visualizer


def start(ros) -> Visualizer:
    return ros.add(Visualizer(parameter_overrides=[Parameter("rate", value=10.0)]))


def test_the_overlay_shows_the_camera_and_changes_with_the_answer(ros):
    start(ros)
    pictures = ros.collect(Image, "mmllm/overlay")
    camera = ros.publisher(Image, "camera/front/image_raw")
    publish_answer(ros, "no")

    def newest() -> np.ndarray:
        image = pictures[-1]
        return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)

    def shown() -> bool:
        camera.publish(camera_image(ros))
        return pictures and np.abs(newest()[250, 430].astype(int) - RED).max() < 8

    ros.until(shown)
    before = newest()[440:, :864].copy()
    publish_answer(ros)
    ros.until(lambda: (newest()[440:, :864] != before).any())
    assert pictures[-1].header.frame_id == "base_link"


def test_markers_tell_the_answer_and_the_state_of_each_sensor_stamped_with_their_evidence(ros):
    start(ros)
    arrays = ros.collect(MarkerArray, "mmllm/markers")
    stamp = publish_answer(ros)

    def newest() -> dict[tuple[str, int], Marker]:
        return {(marker.ns, marker.id): marker for marker in arrays[-1].markers}

    def texts() -> list[str]:
        return [marker.text for marker in newest().values()]

    ros.until(lambda: arrays and "lidar unplugged: fewer than 50 returns" in texts() and "front" in texts())
    ros.until(lambda: {"Any cars?", "yes (80% sure)"} <= set(texts()))
    assert "from camera front 0.20 s" in texts() and "camera plugged" in texts()
    assert len(newest()) == len(arrays[-1].markers), "two markers of one name and number: rviz shows one of them"
    assert all(marker.header.frame_id == "base_link" for marker in arrays[-1].markers)
    drawn = [newest()["answer", 0], newest()["fields of view", 0]]
    assert [marker.header.stamp.sec * NANOSECONDS + marker.header.stamp.nanosec for marker in drawn] == [stamp, stamp]


def test_points_stand_in_the_base_frame_in_the_colours_of_the_camera(ros):
    start(ros)
    clouds = ros.collect(PointCloud2, "mmllm/points")
    camera = ros.publisher(Image, "camera/front/image_raw")
    lidar = ros.publisher(PointCloud2, "lidar/points")
    stamp = publish_answer(ros)
    ahead, behind = (10.0, 0.0, 0.0), (-10.0, 0.0, 0.0)

    def colours() -> list[int]:
        camera.publish(camera_image(ros))
        lidar.publish(scan(stamp, [ahead, behind]))
        return clouds and np.frombuffer(clouds[-1].data, np.uint32).reshape(-1, 4)[:, 3].tolist()

    # The shipped lidar stands 1.8 m over the base; what no camera sees is grey.
    red = 210 << 16 | 58 << 8 | 58  # 50 and four fifths of each channel
    ros.until(lambda: (seen := colours()) and seen[0] == red)
    grey = colours()[1]
    assert grey & 0xFF == grey >> 8 & 0xFF == grey >> 16
    np.testing.assert_allclose(np.frombuffer(clouds[-1].data, np.float32).reshape(-1, 4)[0, :3], (10.0, 0.0, 1.8), atol=1e-6)
    assert clouds[-1].header == header(stamp, "base_link")


def test_the_sensors_are_listened_to_only_while_somebody_looks(ros):
    node = start(ros)
    camera = ros.tester.create_publisher(Image, "camera/front/image_raw", 1)
    publish_answer(ros)
    ros.until(lambda: node._answers)
    assert camera.get_subscription_count() == 0
    looking = PolledSubscription(ros.tester, Image, "mmllm/overlay")
    ros.until(lambda: camera.get_subscription_count() == 1)
    looking.destroy()
    ros.until(lambda: camera.get_subscription_count() == 0)


def test_an_inconsistent_message_is_ignored(ros):
    node = start(ros)
    ros.publisher(ModalityPlan, "mmllm/plan", qos.LATCHED).publish(ModalityPlan(modalities=["camera"]))
    ros.publisher(SensorHealth, "mmllm/health").publish(SensorHealth(signal_names=["points"]))
    publish_answer(ros)
    ros.until(lambda: node._answers and node._plan)
    assert node._plan.context == "night"
