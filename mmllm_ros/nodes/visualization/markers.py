# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Markers for rviz: the latest answer, the plan, each sensor's field of view and state, the path of the robot.

All are in the base frame, each with the stamp of the data that it shows.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Pose, Vector3
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from ...datatypes import Health
from ...rig import CameraMount
from ...visualization.drawing import evidence_text
from ...visualization.overlay import View, heading_path
from ...visualization.sensor_state import State, modality_state, state_of, turn_rate_of
from ..ros_support.messages import BASE_FRAME, header

REACH = 7.0
"""Length of the drawn fields of view [m]. It is not the range of the sensor."""

LINE = 44
"""Characters of a question per line."""

_WHITE, _GROUND = (255, 255, 255), 0.05
_CIRCLE = np.linspace(-math.pi, math.pi, 73)


def markers(view: View) -> MarkerArray:
    """All markers. Namespace and id of each stay the same, so that the next array replaces them."""
    return MarkerArray(markers=[*_answer(view), *_plan(view), *_cameras(view), *_lidar(view), *_motion(view)])


def _answer(view: View) -> Iterator[Marker]:
    if not view.answers:
        return
    answer = view.answers[0]
    text = f"{answer.answer} ({answer.confidence:.0%} sure)"
    yield _text("answer", 0, answer.stamp, textwrap.fill(answer.question, LINE), (0.0, 0.0, 8.8), 0.5, _WHITE)
    yield _text("answer", 1, answer.stamp, text, (0.0, 0.0, 7.5), 0.9, _WHITE)
    yield _text("answer", 2, answer.stamp, f"from {evidence_text(answer)}", (0.0, 0.0, 6.7), 0.4, _WHITE)


def _plan(view: View) -> Iterator[Marker]:
    """One line per modality of the rig."""
    for number, modality in enumerate(dict.fromkeys(mount.modality for mount in view.rig.mounts)):
        state, reason = modality_state(modality, view.plan)
        stamp = view.plan.stamp if view.plan else 0
        text = f"{modality} {state.word}" + (f": {reason}" if state is not State.PLUGGED else "")
        yield _text("plan", number, stamp, text, (0.0, 0.0, 6.0 - 0.5 * number), 0.4, state.value)


def _cameras(view: View) -> Iterator[Marker]:
    for number, mount in enumerate(view.rig.cameras):
        health = view.history.healths.get((mount.modality, mount.name))
        state = state_of(health, view.plan)
        angles = np.linspace(mount.bearing - mount.fov / 2, mount.bearing + mount.fov / 2, 13)
        rim = _rim(mount.position, angles)
        corner = np.array([*mount.position[:2], _GROUND])
        fan = [point for pair in pairwise(rim) for point in (corner, *pair)]
        stamp = health.stamp if health else 0
        yield _shape(Marker.TRIANGLE_LIST, "fields of view", 2 * number, stamp, fan, state.value, alpha=0.3)
        yield _shape(Marker.LINE_STRIP, "fields of view", 2 * number + 1, stamp, rim, state.value, width=0.12)
        yield _text("sensors", number, stamp, _label(mount, state, health), rim[len(rim) // 2] + (0, 0, 0.3), 0.4, state.value)


def _label(mount: CameraMount, state: State, health: Health | None) -> str:
    if state is State.PLUGGED:
        return mount.name
    return f"{mount.name}\n{health.reason if state is State.FAULTY else state.word}"


def _lidar(view: View) -> Iterator[Marker]:
    if view.rig.lidar is None:
        return
    health = next((h for (modality, _), h in view.history.healths.items() if modality == "lidar"), None)
    ring = _rim(view.rig.lidar.position, _CIRCLE, REACH + 0.4)
    stamp, colour = health.stamp if health else 0, state_of(health, view.plan).value
    yield _shape(Marker.LINE_STRIP, "fields of view", 2 * len(view.rig.cameras), stamp, ring, colour, width=0.15)


def _motion(view: View) -> Iterator[Marker]:
    """An arrow along the path, deleted while the robot stands."""
    stamp = max((h.stamp for (modality, _), h in view.history.healths.items() if modality == "imu"), default=0)
    rate = turn_rate_of(view.history.healths)
    path = np.pad(heading_path(rate or 0.0), ((0, 0), (0, 1)), constant_values=0.2)
    for number, (kind, points) in enumerate(((Marker.LINE_STRIP, path[:-2]), (Marker.ARROW, path[[-3, -1]]))):
        marker = _shape(kind, "motion", number, stamp, points, _WHITE, width=0.18)
        if kind == Marker.ARROW:
            marker.scale = Vector3(x=0.18, y=0.7, z=0.8)  # width of the shaft, width and length of the head
        marker.action = Marker.DELETE if rate is None else Marker.ADD
        yield marker


def _rim(position: tuple[float, float, float], angles: np.ndarray, reach: float = REACH) -> np.ndarray:
    """Points [n, 3] on the ground, `reach` around a sensor."""
    x, y, _ = position
    return np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles), np.full_like(angles, _GROUND)], axis=1)


def _shape(
    kind: int, namespace: str, number: int, stamp: int, points: Any, colour: tuple, width: float = 1.0, alpha: float = 0.9
) -> Marker:
    marker = _marker(kind, namespace, number, stamp, colour, alpha)
    marker.scale = Vector3(x=width, y=1.0, z=1.0)
    marker.points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in points]
    return marker


def _text(namespace: str, number: int, stamp: int, text: str, place: Iterable[float], size: float, colour: tuple) -> Marker:
    marker = _marker(Marker.TEXT_VIEW_FACING, namespace, number, stamp, colour, 1.0)
    x, y, z = place
    marker.pose.position, marker.scale, marker.text = Point(x=float(x), y=float(y), z=float(z)), Vector3(z=size), text
    return marker


def _marker(kind: int, namespace: str, number: int, stamp: int, colour: tuple, alpha: float) -> Marker:
    red, green, blue = (channel / 255 for channel in colour)
    pose = Pose()
    pose.orientation.w = 1.0
    marker = Marker(header=header(stamp, BASE_FRAME), ns=namespace, id=number, type=kind, action=Marker.ADD, pose=pose)
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=alpha)
    marker.frame_locked = True  # it moves with the robot until the next array
    return marker
