# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For `mmllm doctor`: the publishers of the rig's topics in the running ROS graph, with their types, QoS, rates and stamps."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from ...datatypes import NANOSECONDS
from ...io.object_messages import OBJECT_TYPES
from ...io.signals import MESSAGE_TYPES
from ...rig import Mount, ObjectsMount, Rig, SignalMount
from ..ros_support.polled_subscription import PolledSubscription
from ..ros_support.sensor_topics import KINDS, encoder_name, names_of, type_name
from ..sources.recorded_topics import message_class

NODES = ("camera_encoder", "lidar_encoder", "imu_encoder", "object_encoder", "context_monitor", "llm")
SPIN_TIME = 0.02
ENOUGH_TIME, ENOUGH_MESSAGES = 1.0, 5
"""Receiving ends after so many seconds, once that many messages of each topic have arrived."""


@dataclass(slots=True)
class LiveTopic:
    """One live topic of the rig.

    `kinds` are its message types, `fits` says whether one of them carries the modality, `offers` is the QoS of each publisher,
    for example `reliable, volatile`, `rate` [Hz] is that of the received messages, and `skew` [s] is the clock minus the last
    stamp, None where no message arrived; `stamped` says whether its messages have one. `carriers` are the message types that
    carry the sensors which the rig has on this topic, by name, None where a type is not installed.
    """

    name: str
    kinds: list[str]
    fits: bool
    offers: list[str]
    carriers: dict[str, type | None] = field(default_factory=dict)
    rate: float = 0.0
    skew: float | None = None
    stamped: bool = True


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
        topics: dict[str, list[Mount | SignalMount]] = {}
        for mount in (*rig.mounts, *rig.signals):
            topics.setdefault(mount.topic, []).append(mount)
        while not all(map(self._seen, topics)) and (left := deadline - time.monotonic()) > 0:
            _spin(self._executor, min(left, 0.1))
        sensors = {topic: [self._live(name, mounts) for name in self._seen(topic)] for topic, mounts in topics.items()}
        self._ticks.clear()
        took = self._measure([topic for topics in sensors.values() for topic in topics if topic.fits], seconds)
        others = [name for name, _ in node.get_topic_names_and_types() if node.count_publishers(name)]
        ours = {*NODES, *(encoder_name(mount.modality) for mount in rig.signals)}
        known = sorted(ours & {name for name, space in node.get_node_names_and_namespaces() if space == node.get_namespace()})
        return Graph(len(others), sensors, known, node.count_publishers("/clock"), len(self._ticks) / took, self._ticks)

    def _seen(self, topic: str) -> list[str]:
        """The published topics that may carry a sensor of the rig."""
        return [name for name in names_of(self._node.resolve_topic_name(topic)) if self._node.count_publishers(name)]

    def _live(self, name: str, mounts: Sequence[Mount | SignalMount]) -> LiveTopic:
        infos = self._node.get_publishers_info_by_topic(name)
        kinds = sorted({info.topic_type for info in infos})
        offers = [f"{info.qos_profile.reliability.name}, {info.qos_profile.durability.name}" for info in infos]
        # A topic that several sensors of the rig read, as depth and normals do, has to carry each of them.
        each = [carriers_of(mount) for mount in mounts]
        fits = all(any(kinds_of[kind] for kind in kinds if kind in kinds_of) for kinds_of in each)
        carriers = {kind: found for kinds_of in each for kind, found in kinds_of.items()}
        return LiveTopic(name, kinds, fits, [offer.lower().replace("_", " ") for offer in offers], carriers)

    def _measure(self, topics: list[LiveTopic], seconds: float) -> float:
        """Measure rate and skew of each topic with the subscription of an encoder node. Returns how long that took [s]."""
        subscribed = []
        for topic in topics:
            kind = next(topic.carriers[kind] for kind in topic.kinds if topic.carriers.get(kind))
            subscribed.append((topic, PolledSubscription(self._node, kind, topic.name)))
        started, counts = time.monotonic(), dict.fromkeys((topic.name for topic in topics), 0)
        took = 0.0
        while took < ENOUGH_TIME or (took < seconds and any(count < ENOUGH_MESSAGES for count in counts.values())):
            _spin(self._executor, SPIN_TIME)
            took = time.monotonic() - started
            for topic, subscription in subscribed:
                if taken := subscription.take():
                    now = self._ticks[-1] if self._ticks else time.time_ns()
                    topic.skew = age_of(taken[0], now)
                    topic.stamped = hasattr(taken[0], "header") or hasattr(taken[0], "markers")
                    counts[topic.name] += taken[1]
        for topic, subscription in subscribed:
            topic.rate = counts[topic.name] / took
            subscription.destroy()
        return took


def carriers_of(mount: Mount | SignalMount) -> dict[str, type | None]:
    """The message types that carry a sensor of the rig, by name; None where a type is not installed."""
    if isinstance(mount, SignalMount):
        return {name: message_class(name) for name in MESSAGE_TYPES[mount.kind]}
    if isinstance(mount, ObjectsMount):
        return {name: message_class(name) for name in OBJECT_TYPES}
    return {type_name(kind): kind for kind in KINDS[mount.modality]}


def _spin(executor: SingleThreadedExecutor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


def age_of(message: Any, now: int) -> float:
    """Age [s] of a message at `now` [ns] by its stamp; 0 without one, as for sound: it is of the time at which it arrives."""
    if hasattr(message, "markers"):
        stamp = max((_nanoseconds(marker.header.stamp) for marker in message.markers), default=0)
        return (now - stamp) / NANOSECONDS if stamp else 0.0
    if not hasattr(message, "header"):
        return 0.0
    return (now - _nanoseconds(message.header.stamp)) / NANOSECONDS


def _nanoseconds(stamp: Any) -> int:
    return stamp.sec * NANOSECONDS + stamp.nanosec
