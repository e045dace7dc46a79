# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For `mmllm rig --from-topics`: the topics of a running robot, one message of each sensor, and /tf_static."""

from __future__ import annotations

import os
import time

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from ...io.camera_info import info_topic
from ...io.recorded_rig import frame_of
from ...io.rig_description import TRANSFORMS, Observed, choose_topics
from ..ros_support.latest_message import LatestMessageSubscription
from ..sources.recorded_topics import message_class

PERIOD = 0.05
SLOW_DISCOVERY = 20.0
"""While no sensor is seen at all, the search goes on for so long [s]: discovery is slow on a busy machine."""


def observe(seconds: float, namespace: str = "") -> Observed:
    """Look at the graph for `seconds`, and as long again for one message of each sensor; shorter once all have arrived."""
    rclpy.init(args=[])
    node = rclpy.create_node(f"rig_{os.getpid()}", namespace=namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        return _observe(node, executor, seconds)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def _observe(node: Node, executor: SingleThreadedExecutor, seconds: float) -> Observed:
    static = message_class(TRANSFORMS)
    seen = Observed({})
    if static:
        every = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(static, "/tf_static", seen.add_transforms, every)
    begun = time.monotonic()
    _spin(executor, begun + seconds)
    while True:
        seen.topics = {name: kinds[0] for name, kinds in node.get_topic_names_and_types() if node.count_publishers(name)}
        chosen = choose_topics(seen.topics)
        if chosen.cameras or chosen.lidar or chosen.imu or chosen.objects or time.monotonic() > begun + SLOW_DISCOVERY:
            break
        _spin(executor, time.monotonic() + PERIOD)
    infos = {info_topic(topic) for topic in chosen.cameras.values()}
    wanted = {*infos, *chosen.cameras.values(), chosen.lidar, chosen.imu, chosen.objects} & set(seen.topics)
    kinds = {topic: kind for topic in wanted if (kind := message_class(seen.topics[topic]))}
    subscribed = {topic: LatestMessageSubscription(node, kind, topic) for topic, kind in kinds.items()}
    end = time.monotonic() + seconds
    while subscribed and time.monotonic() < end:
        executor.spin_once(timeout_sec=PERIOD)
        for topic, subscription in list(subscribed.items()):
            if taken := subscription.take():
                if topic in infos:
                    seen.infos[topic] = taken[0]
                else:
                    seen.frames[topic] = frame_of(taken[0])
                del subscribed[topic]
    if not static:
        seen.transforms = "tf2_msgs is not installed"
    elif not seen.parents:
        seen.transforms = "nobody publishes /tf_static"
    return seen


def _spin(executor: SingleThreadedExecutor, end: float) -> None:
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=PERIOD)
