# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The subscription whose messages are taken when they are needed."""

from __future__ import annotations

import types

import rclpy
import rclpy.executors
from sensor_msgs.msg import Image, Imu

from mmllm_ros.nodes.ros_support.polled_subscription import PolledSubscription


def test_a_message_that_nobody_has_taken_does_not_keep_the_executor_turning(ros, monkeypatch):
    waits = []

    class Counted(rclpy.executors._rclpy.WaitSet):
        def wait(self, timeout):
            waits.append(timeout)
            return super().wait(timeout)

    library = rclpy.executors._rclpy
    monkeypatch.setattr(rclpy.executors, "_rclpy", types.SimpleNamespace(**{**vars(library), "WaitSet": Counted}))
    node = rclpy.create_node("polled_subscription")
    publisher = node.create_publisher(Image, "polled_subscription/image", 1)
    newest = PolledSubscription(node, Image, "polled_subscription/image")
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


def test_messages_are_taken_in_order_and_once_and_the_oldest_give_way(ros):
    node = rclpy.create_node("polled_subscription")
    publisher = node.create_publisher(Imu, "polled_subscription/imu", 100)
    samples = PolledSubscription(node, Imu, "polled_subscription/imu", depth=20)
    taken = []

    def send_and_take(numbers: range) -> None:
        taken.clear()
        for number in numbers:
            message = Imu()
            message.header.stamp.sec = number
            publisher.publish(message)
        ros.until(lambda: taken.extend(message.header.stamp.sec for message in samples.take_all()) or numbers[-1] in taken)

    try:
        ros.until(lambda: samples.publishers)
        send_and_take(range(1, 11))
        assert taken == list(range(1, 11)) and samples.take_all() == []
        send_and_take(range(11, 111))
        assert len(taken) >= 20 and taken == list(range(111 - len(taken), 111))
    finally:
        node.destroy_node()
