# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Message class and QoS with which a recorded topic is published again."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Any

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Qos, QosTime

from ...io.rosbag import Recording
from ...rig import Mount, Rig

_TYPE = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)")


def message_class(name: str) -> type | None:
    """The class of a type such as `sensor_msgs/msg/Imu`, None where it is not installed here."""
    if not (match := _TYPE.fullmatch(name)):
        return None
    try:
        found = getattr(importlib.import_module(f"{match[1]}.msg"), match[2], None)
    except ImportError:
        return None
    return found if hasattr(found, "get_fields_and_field_types") else None


def offered_profile(offered: Sequence[Qos]) -> QoSProfile:
    """The recorded QoS. Several publishers become one that matches every subscriber of theirs; none = reliable, depth 10."""
    if not offered:
        return QoSProfile(depth=10)
    first = offered[0]
    keep_all = any(qos.history.name == "KEEP_ALL" for qos in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_ALL if keep_all else HistoryPolicy.KEEP_LAST,
        depth=max(1, *(qos.depth for qos in offered)),
        reliability=_strongest(ReliabilityPolicy, [qos.reliability.name for qos in offered], "RELIABLE", "BEST_EFFORT"),
        durability=_strongest(DurabilityPolicy, [qos.durability.name for qos in offered], "TRANSIENT_LOCAL", "VOLATILE"),
        liveliness=_strongest(LivelinessPolicy, [qos.liveliness.name for qos in offered], "MANUAL_BY_TOPIC", "AUTOMATIC"),
        deadline=_duration(first.deadline),
        lifespan=_duration(first.lifespan),
        liveliness_lease_duration=_duration(first.liveliness_lease_duration),
        avoid_ros_namespace_conventions=first.avoid_ros_namespace_conventions,
    )


def sensor_remapping(recording: Recording, rig: Rig, topics: str) -> tuple[dict[str, Mount], list[str]]:
    """The sensors of `rig` among the recorded `topics`, and the node arguments that remap the rig's topics to them.

    A recorded topic may have another name than in the rig, for example .../compressed. Raises BadInput.
    """
    played = recording.chosen(topics)
    sensors = {topic: mount for topic, mount in recording.sensors(rig).items() if topic in played}
    rules = [word for topic, mount in sensors.items() for word in ("-r", f"{mount.topic}:={topic}")]
    return sensors, ["--ros-args", *rules]


def _strongest(policy: Any, names: list[str], strong: str, weak: str) -> Any:
    """`strong` if any name has it, else `weak`. Rosbag2 may record `unknown`, which becomes the system default."""
    if strong in names:
        return policy[strong]
    return policy[weak] if weak in names else policy.SYSTEM_DEFAULT


def _duration(time: QosTime) -> Duration:
    return Duration(seconds=time.sec, nanoseconds=time.nsec)
