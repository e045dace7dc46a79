# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The subscription whose messages are taken when they are needed."""

from __future__ import annotations

import types

import rclpy
import rclpy.executors
from sensor_msgs.msg import Image

from mmllm_ros.nodes.ros_support.latest_message import LatestMessageSubscription


def test_a_message_that_nobody_has_taken_does_not_keep_the_executor_turning(ros, monkeypatch):
    waits = []

    class Counted(rclpy.executors._rclpy.WaitSet):
        def wait(self, timeout):
            waits.append(timeout)
            return super().wait(timeout)

    library = rclpy.executors._rclpy
    monkeypatch.setattr(rclpy.executors, "_rclpy", types.SimpleNamespace(**{**vars(library), "WaitSet": Counted}))
    node = rclpy.create_node("latest_message")
    publisher = node.create_publisher(Image, "latest_message/image", 1)
    newest = LatestMessageSubscription(node, Image, "latest_message/image")
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(node)
    try:
        ros.until(lambda: newest.publishers)
        publisher.publish(Image())
        waits.clear()
        executor.spin_once(timeout_sec=0.5)
        # Once or a few times for what discovery still brings; it used to be thousands.
        assert len(waits) < 50
        ros.until(newest.take)
    finally:
        executor.shutdown()
        node.destroy_node()
