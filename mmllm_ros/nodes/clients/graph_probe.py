# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For `mmllm doctor`: the publishers of the rig's topics in the running ROS graph, with their types, QoS, rates and stamps."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from ...datatypes import NANOSECONDS
from ...rig import Rig
from ..ros_support.latest_message import LatestMessageSubscription
from ..ros_support.sensor_topics import KINDS, names_of, type_name

NODES = ("camera_encoder", "lidar_encoder", "imu_encoder", "object_encoder", "context_monitor", "llm")
SPIN_TIME = 0.02
ENOUGH_TIME, ENOUGH_MESSAGES = 1.0, 5
"""Receiving ends after so many seconds, once that many messages of each topic have arrived."""


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


class GraphProbe:
    """A node that looks at the graph. Discovery runs from its construction on, so make it early. A context manager."""

    def __init__(self, namespace: str = "") -> None:
        rclpy.init(args=[])
        self._started = time.monotonic()
        self._node = rclpy.create_node(f"doctor_{os.getpid()}", namespace=namespace)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._ticks: list[int] = []
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._node.create_subscription(Clock, "/clock", lambda tick: self._ticks.append(_nanoseconds(tick.clock)), qos)

    def __enter__(self) -> GraphProbe:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def look(self, rig: Rig, seconds: float) -> Graph:
        """Wait until every topic of `rig` is seen, at most `seconds` from the start on, then receive for at most `seconds`."""
        node, deadline = self._node, self._started + seconds
        while not all(self._seen(mount.topic) for mount in rig.mounts) and (left := deadline - time.monotonic()) > 0:
            _spin(self._executor, min(left, 0.1))
        sensors = {mount.topic: [self._live(name, mount.modality) for name in self._seen(mount.topic)] for mount in rig.mounts}
        self._ticks.clear()
        took = self._measure([topic for topics in sensors.values() for topic in topics if topic.fits], seconds)
        others = [name for name, _ in node.get_topic_names_and_types() if node.count_publishers(name)]
        known = sorted({name for name in node.get_node_names() if name in NODES})
        return Graph(len(others), sensors, known, node.count_publishers("/clock"), len(self._ticks) / took, self._ticks)

    def _seen(self, topic: str) -> list[str]:
        """The published topics that may carry a sensor of the rig."""
        return [name for name in names_of(self._node.resolve_topic_name(topic)) if self._node.count_publishers(name)]

    def _live(self, name: str, modality: str) -> LiveTopic:
        infos = self._node.get_publishers_info_by_topic(name)
        kinds = sorted({info.topic_type for info in infos})
        offers = [f"{info.qos_profile.reliability.name}, {info.qos_profile.durability.name}" for info in infos]
        fits = bool({type_name(kind) for kind in KINDS[modality]} & set(kinds))
        return LiveTopic(name, kinds, fits, [offer.lower().replace("_", " ") for offer in offers])

    def _measure(self, topics: list[LiveTopic], seconds: float) -> float:
        """Measure rate and skew of each topic with the subscription of an encoder node. Returns how long that took [s]."""
        by_name = {type_name(kind): kind for kinds in KINDS.values() for kind in kinds}
        subscribed = [
            (topic, LatestMessageSubscription(self._node, by_name[next(k for k in topic.kinds if k in by_name)], topic.name))
            for topic in topics
        ]
        started, counts = time.monotonic(), dict.fromkeys((topic.name for topic in topics), 0)
        took = 0.0
        while took < ENOUGH_TIME or (took < seconds and any(count < ENOUGH_MESSAGES for count in counts.values())):
            _spin(self._executor, SPIN_TIME)
            took = time.monotonic() - started
            for topic, subscription in subscribed:
                if taken := subscription.take():
                    now = self._ticks[-1] if self._ticks else time.time_ns()
                    topic.skew = age_of(taken[0], now)
                    counts[topic.name] += taken[1]
        for topic, subscription in subscribed:
            topic.rate = counts[topic.name] / took
            subscription.destroy()
        return took


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


def age_of(message: Any, now: int) -> float:
    """Age [s] of a message at `now` [ns] by its stamp; 0 for markers without one, which are of the time at which they arrive."""
    if hasattr(message, "markers"):
        stamp = max((_nanoseconds(marker.header.stamp) for marker in message.markers), default=0)
        return (now - stamp) / NANOSECONDS if stamp else 0.0
    return (now - _nanoseconds(message.header.stamp)) / NANOSECONDS


def _nanoseconds(stamp: Any) -> int:
    return stamp.sec * NANOSECONDS + stamp.nanosec
