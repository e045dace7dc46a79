# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of other perception stacks -> plain reported objects: vision_msgs detections, and markers that show objects.

Works on any object with the fields of the ROS message and imports no message: vision_msgs is not installed everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..datatypes import NANOSECONDS, BadInput

OBJECT_TYPES = (
    "vision_msgs/msg/Detection3DArray",
    "vision_msgs/msg/Detection2DArray",
    "visualization_msgs/msg/MarkerArray",
)
"""Messages in which another perception stack may report objects."""
MOST_OBJECTS = 1000
"""A message with more objects is refused."""
FARTHEST = 10_000.0
"""A larger coordinate, in metres, is not that of an object which a sensor detects."""
MARKER_SCORE = 0.9
"""A marker has no score; what a stack shows it takes to be there."""
_SOLID = (1, 2, 3, 10)
"""Types of marker that show an object at its pose: cube, sphere, cylinder, mesh."""
_ADD = 0


@dataclass(frozen=True, slots=True)
class ReportedObject:
    """One reported object. `scores` are pairs of a class name, as the stack spells it, and its score between 0 and 1.

    Either `centre` [m] in the frame of the message, or `corners` (left, top, right, bottom) [pixels] is given. With a centre
    there are `size` [m] along its own axes, as it stands in the message, and `yaw` [rad] in the frame of the message.
    """

    scores: tuple[tuple[str, float], ...]
    centre: tuple[float, float, float] | None = None
    corners: tuple[float, float, float, float] | None = None
    size: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """The objects of one message. `stamp` [ns] is 0 where the message has none, `frame` is empty where it names none."""

    stamp: int
    frame: str
    objects: tuple[ReportedObject, ...]


def read_report(message: Any) -> Report:
    """From a Detection3DArray, a Detection2DArray or a MarkerArray. Raises BadInput, which names the invalid value."""
    if hasattr(message, "markers"):
        return _markers(message)
    detections = _bounded(message.detections, "detections")
    made = tuple(_detection(f"detection {index}", item) for index, item in enumerate(detections))
    return Report(_stamp(message.header), message.header.frame_id.strip("/"), made)


def _detection(what: str, item: Any) -> ReportedObject:
    scores = tuple(
        (str(result.hypothesis.class_id)[:100], _score(what, result.hypothesis.class_id, result.hypothesis.score))
        for result in _bounded(item.results, "hypotheses")
    )
    box = item.bbox
    if hasattr(box, "size"):
        return ReportedObject(scores, centre=_position(what, box.center.position), **_extent(box.size, box.center))
    # vision_msgs 4 has a pose with a position, older releases x and y in the pose itself.
    middle = getattr(box.center, "position", box.center)
    x, y, width, height = (_number(what, name, value) for name, value in zip(
        ("center.x", "center.y", "size_x", "size_y"), (middle.x, middle.y, box.size_x, box.size_y), strict=True
    ))  # fmt: skip
    if width <= 0 or height <= 0:
        raise BadInput(f"{what} has a box of {width:g} x {height:g} pixels")
    return ReportedObject(scores, corners=(x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def _markers(message: Any) -> Report:
    """Each solid marker that is added is an object; its class is its text, or its namespace where it has no text."""
    shown = [item for item in _bounded(message.markers, "markers") if item.action == _ADD and item.type in _SOLID]
    frames = sorted({item.header.frame_id.strip("/") for item in shown})
    if len(frames) > 1:
        raise BadInput(f"markers of one message are in several frames: {', '.join(frames[:4])}")
    made = tuple(
        ReportedObject(
            (((item.text or item.ns)[:100], MARKER_SCORE),),
            _position(f"marker {index}", item.pose.position),
            **_extent(item.scale, item.pose),
        )
        for index, item in enumerate(shown)
    )
    return Report(max((_stamp(item.header) for item in shown), default=0), frames[0] if frames else "", made)


def _extent(size: Any, pose: Any) -> dict[str, Any]:
    """Size and yaw, which only the evaluation on recorded boxes uses: it refuses what is invalid."""
    turn = pose.orientation
    yaw = math.atan2(2 * (turn.w * turn.z + turn.x * turn.y), 1 - 2 * (turn.y**2 + turn.z**2))
    return {"size": (float(size.x), float(size.y), float(size.z)), "yaw": yaw}


def _stamp(header: Any) -> int:
    return header.stamp.sec * NANOSECONDS + header.stamp.nanosec


def _bounded(items: Sequence[Any], what: str) -> Sequence[Any]:
    if len(items) > MOST_OBJECTS:
        raise BadInput(f"a message has {len(items)} {what}, more than {MOST_OBJECTS}")
    return items


def _score(what: str, name: str, score: float) -> float:
    if not 0.0 <= score <= 1.001:  # NaN compares false
        raise BadInput(f"{what} has score {score:g} for {str(name)[:40]!r}, which is not between 0 and 1")
    return min(float(score), 1.0)


def _position(what: str, point: Any) -> tuple[float, float, float]:
    x, y, z = (_number(what, f"position.{axis}", getattr(point, axis)) for axis in "xyz")
    return (x, y, z)


def _number(what: str, name: str, value: float) -> float:
    if not math.isfinite(value) or abs(value) > FARTHEST:
        raise BadInput(f"{what} has {name} {value:g}, which is not finite or beyond {FARTHEST:g}")
    return float(value)
