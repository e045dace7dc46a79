# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled frames of a robot's own recording: boxes on one topic say what there is, the sensors of the rig show it.

The boxes are a Detection3DArray or a MarkerArray, from people or from a perception stack that is trusted. They count as complete
all around; with a single camera and no lidar, in what that camera shows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ..angles import wrapped
from ..context.sensor_monitor import SensorMonitor
from ..datatypes import NANOSECONDS, BadInput, CameraFrame, Frame, LidarScan
from ..encoders.objects import CATEGORIES
from ..encoders.recorded_objects import RecordedTransforms
from ..encoders.reported_objects import ClassNames, Transform
from ..io.distorted_camera import mounted_camera
from ..io.frames import points_in_base
from ..io.object_messages import ReportedObject, read_report
from ..io.pinhole import Pinhole
from ..io.recorded_rig import observed_in
from ..io.rosbag import Recording
from ..rig import ObjectsMount, Rig
from ..simulator.truth import EgoMotion, SceneObject, SceneTruth, Weather
from .real_frames import RealFrame, Region, projected_size

GAP = NANOSECONDS // 4
"""Sensor data belong to boxes whose stamp differs by no more than this [ns]."""
LARGEST = 50.0
"""A longer box [m] is no road user."""


def recorded_frames(path: str | Path, rig: Rig, boxes: str, period: float = 1.0) -> Iterator[RealFrame]:
    """A frame for every message on the topic `boxes`, one each `period` [s] at the most. Raises BadInput."""
    recording, topic = Recording(path), f"/{boxes.strip('/')}"
    if topic not in recording.topics:
        raise BadInput(f"recording {path} has no topic {topic}, only {sorted(recording.topics)}")
    stated = rig.objects if rig.objects and f"/{rig.objects.topic.strip('/')}" == topic else ObjectsMount()
    labelled = dataclasses.replace(rig, imu=None, signals=(), objects=dataclasses.replace(stated, topic=topic))
    names, transforms = ClassNames(stated.classes), RecordedTransforms(observed_in(path), stated)
    monitors: dict[tuple[str, str], SensorMonitor] = {}
    waiting: list[_Labels] = []
    latest: dict[tuple[str, str], tuple[Frame, Frame | None]] = {}
    last = -math.inf

    def labels(message: object, time: int) -> _Labels:
        report = read_report(message)
        if any(item.corners for item in report.objects):
            raise BadInput("boxes in an image say nothing of places: name a topic of boxes in 3D")
        transform = transforms(report.frame, report.stamp) if report.objects else (np.eye(3), np.zeros(3))
        return _Labels(report.stamp or time, transform, report.objects)

    def due(now: int) -> Iterator[RealFrame]:
        # Sensor data arrive before or after the boxes that are made of them.
        while waiting and now > waiting[0].stamp + GAP:
            found = waiting.pop(0)
            pairs = [pair for pair in latest.values() if abs(pair[0].stamp - found.stamp) <= GAP]
            if pairs:
                yield _frame(recording.path.name, labelled, found, pairs, names)

    for frame in recording.frames(labelled, labels):
        yield from due(frame.stamp)
        if isinstance(frame, _Labels):
            if frame.stamp - last >= period * NANOSECONDS:
                waiting.append(frame)
                last = frame.stamp
            continue
        source = (frame.modality, frame.source)
        pair = monitors.setdefault(source, SensorMonitor(*source)).add(frame)
        held = latest.get(source)
        target = waiting[0].stamp if waiting else frame.stamp
        if held is None or abs(frame.stamp - target) <= abs(held[0].stamp - target):
            latest[source] = pair
    yield from due(1 << 62)


@dataclasses.dataclass(frozen=True, slots=True)
class _Labels:
    """The boxes of one message."""

    stamp: int
    transform: Transform
    objects: tuple[ReportedObject, ...]


def _frame(name: str, rig: Rig, labels: _Labels, pairs: list[tuple[Frame, Frame | None]], names: ClassNames) -> RealFrame:
    frames = tuple(newest for newest, _ in pairs)
    images = {frame.source: frame.image for frame in frames if isinstance(frame, CameraFrame)}
    cameras = {source: mounted_camera(rig.camera(source), image.shape[1], image.shape[0]) for source, image in images.items()}
    sweep = next((frame for frame in frames if isinstance(frame, LidarScan)), None)
    shown = dataclasses.replace(
        rig,
        cameras=tuple(mount for mount in rig.cameras if mount.name in cameras),
        lidar=rig.lidar if sweep else None,
        objects=None,
    )
    region = _region(shown)
    points = None if sweep is None else points_in_base(sweep.points, rig.lidar)[:, :3]
    known, unknown = [], []
    for index, item in enumerate(labels.objects):
        meaning = names.read(item.scores)
        category = CATEGORIES[int(meaning[1].argmax())] if meaning else ""
        made = _object(index, category, item, labels.transform, cameras, points)
        if region.holds(made.position[0], made.position[1]):
            (known if category else unknown).append(made)
    token = f"{name}/{labels.stamp}"
    truth = SceneTruth(labels.stamp, token, token, Weather(), EgoMotion(0.0, 0.0, 0.0), tuple(known), None)
    before = tuple(older for _, older in pairs if older is not None)
    return RealFrame(name, str(labels.stamp), shown, cameras, frames, before, truth, tuple(unknown), (), region)


def _region(rig: Rig) -> Region:
    if rig.lidar or len(rig.cameras) != 1:
        return Region()
    (mount,) = rig.cameras
    return Region(mount.bearing, mount.fov / 2, mount.position[:2])


def _object(
    index: int,
    category: str,
    item: ReportedObject,
    transform: Transform,
    cameras: Mapping[str, Pinhole],
    points: np.ndarray | None,
) -> SceneObject:
    """What is labelled, in the base frame. Raises BadInput for a box without extent."""
    if not all(0.0 < metres <= LARGEST for metres in item.size):  # NaN compares false
        raise BadInput(f"box {index} has size {item.size}, not three lengths up to {LARGEST:g} m")
    turn, origin = transform
    position = tuple(float(metres) for metres in turn @ np.array(item.centre) + origin)
    yaw = float(wrapped(item.yaw + math.atan2(turn[1, 0], turn[0, 0])))
    returns = 0 if points is None else _inside(points, position, item.size, yaw)
    pixels = {name: projected_size(position, item.size, yaw, camera) for name, camera in cameras.items()}
    if points is not None and not returns:
        # What no beam reaches is hidden from a camera beside the lidar, too.
        pixels = dict.fromkeys(cameras, 0)
    return SceneObject(index, category, "", position, yaw, item.size, (0.0, 0.0), "", pixels, pixels, returns, returns)


def _inside(points: np.ndarray, position: tuple, size: tuple, yaw: float) -> int:
    """How many points [n, 3] lie in a box."""
    apart = points - np.array(position, dtype=np.float32)
    c, s = math.cos(yaw), math.sin(yaw)
    along = np.stack([c * apart[:, 0] + s * apart[:, 1], c * apart[:, 1] - s * apart[:, 0], apart[:, 2]], axis=1)
    return int((np.abs(along) <= np.array(size) / 2).all(1).sum())
