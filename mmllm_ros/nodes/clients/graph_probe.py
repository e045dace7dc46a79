# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For `mmllm doctor`: the publishers of the rig's topics in the running ROS graph, with their types, QoS, rates and stamps."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2

from ...datatypes import NANOSECONDS
from ...io.frames import same_topic
from ...rig import Rig
from ..ros_support.latest_message import LatestMessageSubscription

KINDS = {"camera": (Image, CompressedImage), "lidar": (PointCloud2,), "imu": (Imu,)}
"""Message types that carry a modality."""

NODES = ("camera_encoder", "lidar_encoder", "imu_encoder", "context_monitor", "llm")
SPIN_TIME = 0.02


@dataclass(slots=True)
class LiveTopic:
    """One live topic of the rig.

    `kinds` are its message types, `fits` says whether one of them carries the modality, `offers` is the QoS of each publisher,
    for example `reliable, volatile`, `rate` [Hz] is that of the received messages, and `skew` [s] is the clock minus the last
    stamp, None where no message arrived.
    """

    name: str
    kinds: list[str]
    fits: bool
    offers: list[str]
    rate: float = 0.0
    skew: float | None = None


@dataclass(slots=True)
class Graph:
    """`sensors` maps each topic of the rig to its live topics; `nodes` are ours; `clocks` counts the publishers of /clock."""

    topics: int
    sensors: dict[str, list[LiveTopic]]
    nodes: list[str]
    clocks: int
    clock_rate: float
    ticks: list[int] = field(default_factory=list)


def probe(rig: Rig, seconds: float, namespace: str = "") -> Graph:
    """Wait half of `seconds` for discovery, receive messages for the other half, then return the graph."""
    rclpy.init(args=[])
    node = rclpy.create_node(f"doctor_{os.getpid()}", namespace=namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ticks: list[int] = []
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(Clock, "/clock", lambda tick: ticks.append(_nanoseconds(tick.clock)), qos)
    try:
        _spin(executor, seconds / 2)
        seen = {name: kinds for name, kinds in node.get_topic_names_and_types() if node.count_publishers(name)}
        sensors = {mount.topic: _live(node, seen, mount.topic, mount.modality) for mount in rig.mounts}
        ticks.clear()
        _measure(node, executor, [topic for topics in sensors.values() for topic in topics if topic.fits], ticks, seconds / 2)
        known = sorted({name for name in node.get_node_names() if name in NODES})
        return Graph(len(seen), sensors, known, node.count_publishers("/clock"), 2 * len(ticks) / seconds, ticks)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def _live(node: Node, seen: dict[str, list[str]], topic: str, modality: str) -> list[LiveTopic]:
    """The live topics that carry a sensor of the rig, compressed or not."""
    wanted = {_type_name(kind) for kind in KINDS[modality]}
    found = []
    for name, kinds in sorted(seen.items()):
        if same_topic(name, node.resolve_topic_name(topic)):
            profiles = (info.qos_profile for info in node.get_publishers_info_by_topic(name))
            offers = [f"{profile.reliability.name}, {profile.durability.name}".lower().replace("_", " ") for profile in profiles]
            found.append(LiveTopic(name, kinds, bool(wanted & set(kinds)), offers))
    return found


def _measure(node: Node, executor: SingleThreadedExecutor, topics: list[LiveTopic], ticks: list[int], seconds: float) -> None:
    """Measure rate and skew of each topic, with the subscription of an encoder node."""
    by_name = {_type_name(kind): kind for kinds in KINDS.values() for kind in kinds}
    subscribed = [
        (topic, LatestMessageSubscription(node, by_name[next(k for k in topic.kinds if k in by_name)], topic.name))
        for topic in topics
    ]
    deadline, counts = time.monotonic() + seconds, dict.fromkeys((topic.name for topic in topics), 0)
    while time.monotonic() < deadline:
        _spin(executor, SPIN_TIME)
        for topic, subscription in subscribed:
            if taken := subscription.take():
                now = ticks[-1] if ticks else time.time_ns()
                topic.skew = (now - _nanoseconds(taken[0].header.stamp)) / NANOSECONDS
                counts[topic.name] += taken[1]
    for topic, subscription in subscribed:
        topic.rate = counts[topic.name] / seconds
        subscription.destroy()


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


def _nanoseconds(stamp: object) -> int:
    return stamp.sec * NANOSECONDS + stamp.nanosec


def _type_name(kind: type) -> str:
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
