# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A look at the running graph, for `mmllm doctor`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier
from rosgraph_msgs.msg import Clock

from ..frames import same_topic
from ..rig import Rig


@dataclass(frozen=True, slots=True)
class Graph:
    """`sensors` maps each topic of the rig to its types and number of publishers; `clocks` counts who publishes /clock."""

    topics: list[str]
    sensors: dict[str, tuple[list[str], int]]
    clocks: int
    clock_rate: float


def rmw_name() -> str:
    """The middleware in use."""
    return get_rmw_implementation_identifier()


def probe(rig: Rig, seconds: float) -> Graph:
    """Listen for `seconds`, then say what is there."""
    rclpy.init(args=[])
    node = rclpy.create_node(f"doctor_{os.getpid()}")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ticks: list[Clock] = []
    node.create_subscription(Clock, "/clock", ticks.append, QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT))
    try:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            executor.spin_once(timeout_sec=left)
        seen = {name: kinds for name, kinds in node.get_topic_names_and_types() if node.count_publishers(name)}
        sensors = {}
        for mount in rig.mounts:
            names = [name for name in seen if same_topic(name, mount.topic)]
            kinds = sorted({kind for name in names for kind in seen[name]})
            sensors[mount.topic] = (kinds, sum(node.count_publishers(name) for name in names))
        return Graph(sorted(seen), sensors, node.count_publishers("/clock"), len(ticks) / seconds)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
