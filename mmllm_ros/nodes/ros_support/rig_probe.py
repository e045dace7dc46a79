# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The topics of a running robot, one message of each sensor, and transforms: `mmllm rig --from-topics`, `rig:=auto`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from ...datatypes import BadInput
from ...io.camera_info import info_topic
from ...io.recorded_rig import frame_of
from ...io.rig_description import TRANSFORMS, Chosen, Observed
from ...io.robot_rig import chosen_topics, kept_rig, missing
from ...launch_setup import kept_path
from ...rig import rig_overrides
from ..sources.recorded_topics import message_class
from .polled_subscription import PolledSubscription

PERIOD = 0.05
SLOW_DISCOVERY = 20.0
"""While no sensor is seen at all, the search goes on for so long [s]: discovery is slow on a busy machine."""
SIMULATOR = "simulator"
"""The name of this package's simulator node."""
SETTLED = 5.0
"""Topics are all seen when none has appeared for so long [s]."""
REPEATED = 5.0
"""What is waited for is said so often [s]."""


class RigProbe:
    """Observes the topics of the namespace of `node`; `seen` grows with each call of `look`. The executor is that of `node`."""

    def __init__(self, node: Node, executor: SingleThreadedExecutor, overrides: Mapping[str, Any]) -> None:
        self.seen = Observed({})
        self._node, self._executor, self._overrides = node, executor, overrides
        self._subscribed: dict[str, PolledSubscription] = {}
        self._prefix = node.get_namespace().rstrip("/") + "/"
        if kind := message_class(TRANSFORMS):
            latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            for topic, profile in (("tf_static", latched), ("tf", QoSProfile(depth=100))):
                for name in {f"/{topic}", topic}:
                    node.create_subscription(kind, name, self.seen.add_transforms, profile)
        else:
            self.seen.transforms = "tf2_msgs is not installed"

    @property
    def chosen(self) -> Chosen:
        """The topics of the sensors that are there now."""
        return chosen_topics(self.seen.topics, self._overrides)

    @property
    def complete(self) -> bool:
        """Whether a message of every sensor, and every CameraInfo, has arrived."""
        return not self._subscribed

    def look(self) -> None:
        """Take what has arrived within PERIOD."""
        self._executor.spin_once(timeout_sec=PERIOD)
        topics = self._node.get_topic_names_and_types()
        self.seen.topics = {
            name: kinds[0] for name, kinds in topics if name.startswith(self._prefix) and self._node.count_publishers(name)
        }
        if self.seen.parents:
            self.seen.transforms = ""
        chosen = self.chosen
        if chosen.lidar:
            publishers = self._node.get_publishers_info_by_topic(chosen.lidar)
            self.seen.simulated = any(publisher.node_name == SIMULATOR for publisher in publishers)
        infos = {info_topic(topic) for topic in chosen.cameras.values()}
        for topic in {*infos, *chosen.cameras.values(), chosen.lidar, chosen.imu, chosen.objects} & set(self.seen.topics):
            arrived = topic in self.seen.infos or topic in self.seen.frames
            if not arrived and topic not in self._subscribed and (kind := message_class(self.seen.topics[topic])):
                self._subscribed[topic] = PolledSubscription(self._node, kind, topic)
        for topic, subscription in list(self._subscribed.items()):
            if taken := subscription.take():
                if topic in infos:
                    self.seen.infos[topic] = taken[0]
                else:
                    self.seen.frames[topic] = frame_of(taken[0])
                del self._subscribed[topic]


def observe(seconds: float, namespace: str = "") -> Observed:
    """Look at the graph for `seconds`, and as long again for one message of each sensor; shorter once all have arrived."""
    rclpy.init(args=[])
    node = rclpy.create_node(f"rig_{os.getpid()}", namespace=namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        probe, begun = RigProbe(node, executor, {}), time.monotonic()
        while time.monotonic() < begun + seconds:
            probe.look()
        while not _any(probe.chosen) and time.monotonic() < begun + SLOW_DISCOVERY:
            probe.look()
        end = time.monotonic() + seconds
        while not probe.complete and time.monotonic() < end:
            probe.look()
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    if not probe.seen.parents and not probe.seen.transforms:
        probe.seen.transforms = "nobody publishes /tf_static"
    return probe.seen


def _any(chosen: Chosen) -> bool:
    return bool(chosen.cameras or chosen.lidar or chosen.imu or chosen.objects)


def rig_file(node: Node, name: str) -> str:
    """`name`, the name or file of a rig; for the rig of the running robot a file that is written once the robot shows all of it.

    Waits without end for what is missing, and logs what that is. Raises BadInput where a transform is missing that cannot come.
    """
    overrides = rig_overrides(name)
    if overrides is None:
        return name
    probe_node = rclpy.create_node(f"rig_probe_{os.getpid()}", context=node.context, namespace=node.get_namespace())
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(probe_node)
    try:
        seen = wait(RigProbe(probe_node, executor, overrides), overrides, node.get_logger().info, node.context.ok)
    finally:
        executor.shutdown()
        probe_node.destroy_node()
    path = kept_rig(seen, overrides, kept_path(node.get_namespace()))
    node.get_logger().info(f"the rig of the running robot is in {path}")
    return path


def waited_rig(name: str, namespace: str = "") -> str:
    """`rig_file` for a command: it has no node of its own."""
    rclpy.init(args=[])
    node = rclpy.create_node(f"rig_{os.getpid()}", namespace=namespace)
    try:
        return rig_file(node, name)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def wait(probe: RigProbe, overrides: Mapping[str, Any], log: Callable[[str], None], alive: Callable[[], bool]) -> Observed:
    """What `probe` sees once nothing is missing and no topic has appeared for SETTLED. Raises BadInput as `rig_file` does."""
    changed = said = time.monotonic()
    topics: Sequence[str] = ()
    while alive():
        probe.look()
        now, found = time.monotonic(), sorted(probe.seen.topics)
        if found != topics:
            topics, changed = found, now
        lacking = missing(probe.seen, overrides)
        if now - changed < SETTLED:
            continue
        if not lacking:
            return probe.seen
        if probe.seen.transforms and probe.complete and all(what.startswith("a transform") for what in lacking):
            raise BadInput(
                f"rig auto needs {', '.join(lacking)}, and {probe.seen.transforms}: write a rig file, "
                "`mmllm rig --from-topics` makes a first version, or give the mounts in a YAML file with `auto: true`"
            )
        if now - said >= REPEATED:
            said = now
            log(f"rig auto waits for {', '.join(lacking)}")
    raise ExternalShutdownException
