# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""IMU windows with the true motion of the vehicle: of simulated drives, and of a recording with a topic of its speed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.progress import track
from rosbags.typesys import Stores, get_typestore

from ..context.sensor_monitor import SensorMonitor
from ..datatypes import NANOSECONDS, BadInput, ImuWindow, one_line
from ..io.frames import stamp_of
from ..io.rosbag import Recording
from ..rig import ImuMount, Rig
from ..simulator.drive import Drive
from ..simulator.sensors.imu import ImuErrors
from ..simulator.splits import scene_seed
from ..simulator.truth import EgoMotion

SPEED_TYPES = (
    "std_msgs/msg/Float32",
    "std_msgs/msg/Float64",
    "geometry_msgs/msg/Twist",
    "geometry_msgs/msg/TwistStamped",
    "geometry_msgs/msg/TwistWithCovarianceStamped",
    "nav_msgs/msg/Odometry",
)
"""Types of message that give the speed of a vehicle [m/s]."""
LEAST_SPEEDS = 3
"""Fewest messages of the speed in the last second for a true motion."""
SPAN = 5
"""Moments of a recording within so many seconds count as one scene, because they are not independent."""


@dataclass(frozen=True, slots=True)
class MotionMoment:
    """One IMU window, with the mounting estimated so far, and the true motion over the same second.

    `turning` is |yaw rate| [rad/s] where only that is known, None where the yaw rate of `truth` is; NaN where neither is known.
    """

    scene: str
    window: ImuWindow
    truth: EgoMotion
    turning: float | None = None


def simulated_motion(errors: ImuErrors, drives: int, seconds: float, seed: int) -> list[MotionMoment]:
    """A moment each second of `drives` test drives with such an IMU."""
    rig = Rig("imu", (), None, ImuMount())
    found = []
    for number in track(range(drives), "drive"):
        drive = Drive(scene_seed("test", seed + number), rig, "day", imu_errors=errors)
        monitor = SensorMonitor("imu", "imu")
        for _ in range(int(seconds)):
            drive.advance(1.0)
            snapshot = drive.capture()
            found.append(MotionMoment(drive.name, monitor.add(snapshot.imu)[0], snapshot.truth.ego))
    return found


def recorded_motion(recording: Recording, rig: Rig, topic: str = "") -> list[MotionMoment]:
    """A moment each half second of a recording; `topic` gives the speed, empty = the only topic that does. Raises BadInput."""
    if rig.imu is None:
        raise BadInput(f"rig {rig.name} has no imu")
    stamps, motions, turning = _motions(recording, _speed_topic(recording, topic))
    monitor, last, found = SensorMonitor("imu", "imu"), -NANOSECONDS, []
    for frame in recording.frames(Rig(rig.name, (), None, rig.imu)):
        window, _ = monitor.add(frame)
        if window.stamp - last < NANOSECONDS // 2 or window.times[-1] - window.times[0] < 0.9 * NANOSECONDS:
            continue
        inside = (stamps > window.stamp - NANOSECONDS) & (stamps <= window.stamp)
        if np.count_nonzero(inside) < LEAST_SPEEDS:
            continue
        last = window.stamp
        moments = (stamps[inside] - window.stamp) / NANOSECONDS
        speed, rate = motions[inside].T
        acceleration = float(np.polyfit(moments, speed, 1)[0])
        truth = EgoMotion(float(speed.mean()), float(rate.mean()), acceleration)
        if turning == "course":
            # The handedness of the frame is not known, so the side is not.
            change = abs(float(np.polyfit(moments, np.unwrap(rate), 1)[0]))
            found.append(MotionMoment(_span(window), window, truth, change if speed.min() > 1.0 else math.nan))
        else:
            found.append(MotionMoment(_span(window), window, truth, None if turning else math.nan))
    if not found:
        raise BadInput(f"recording {recording.path}: no second has IMU samples and {LEAST_SPEEDS} speeds at the same time")
    return found


def _span(window: ImuWindow) -> str:
    return str(window.stamp // (SPAN * NANOSECONDS))


def _speed_topic(recording: Recording, topic: str) -> str:
    fitting = [name for name, entry in recording.topics.items() if entry.type in SPEED_TYPES and entry.count]
    if topic:
        (name,) = recording.chosen(topic)[:1]
        if name not in fitting:
            raise BadInput(f"topic {name!r} is a {recording.topics[name].type}, not one of {', '.join(SPEED_TYPES)}")
        return name
    if len(fitting) != 1:
        raise BadInput(f"recording {recording.path} has {len(fitting)} topics of a speed ({sorted(fitting)}): choose by --speed")
    return fitting[0]


def _motions(recording: Recording, topic: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Stamps [n] [ns], rows [n, 2] of the speed and of the yaw rate or the course, and which of both: "rate", "course" or ""."""
    rows = sorted(_velocities(recording, topic))
    if not rows:
        raise BadInput(f"recording {recording.path} has no valid message on {topic}")
    stamps = np.array([row[0] for row in rows], np.int64)
    forward, left, rate = np.array([row[1:] for row in rows]).T
    speed = np.hypot(forward, left)
    moving = speed > 1.0
    in_vehicle_axes = bool((np.abs(left[moving]) <= 0.1 * forward[moving]).all())
    if in_vehicle_axes:
        return stamps, np.stack([speed, rate], 1), "rate" if np.any(rate) else ""
    return stamps, np.stack([speed, np.arctan2(left, forward)], 1), "course"


def _velocities(recording: Recording, topic: str) -> Iterator[tuple[int, float, float, float]]:
    store = get_typestore(Stores.ROS2_JAZZY)
    for _, kind, time, data in recording.raw([topic]):
        try:
            message: Any = store.deserialize_cdr(data, kind)
        except Exception as error:  # the parser raises many types
            raise BadInput(f"{topic} at {time} ns is no valid {kind}: {one_line(error)}") from error
        stamp = stamp_of(message) if hasattr(message, "header") else time
        values = _velocity(message)
        if np.isfinite(values).all():
            yield (stamp, *values)


def _velocity(message: Any) -> Sequence[float]:
    """Velocity along two horizontal axes [m/s], and the angular velocity about the third [rad/s]."""
    if hasattr(message, "data"):
        return float(message.data), 0.0, 0.0
    while hasattr(message, "twist"):
        message = message.twist
    return message.linear.x, message.linear.y, message.angular.z
