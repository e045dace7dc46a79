# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Objects that a recording holds, and what gives their boxes a place: transforms and CameraInfo of the recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ..datatypes import BadInput, ObjectList
from ..io.camera_info import calibration_from_info, info_topic, is_rectified
from ..io.distorted_camera import mounted_camera
from ..io.object_messages import read_report
from ..io.pinhole import Pinhole
from ..io.recorded_rig import observed_in
from ..io.rig_description import Observed
from ..io.rosbag import Recording
from ..rig import ObjectsMount, Rig
from .box_ranges import project_sweep
from .reported_objects import ClassNames, Transform, located_objects, mounted


class RecordedTransforms:
    """Transforms to the base frame: those of the rig, and those that the recording does not change."""

    def __init__(self, seen: Observed, mount: ObjectsMount) -> None:
        self._mount, self._seen = mount, seen

    def __call__(self, frame: str, stamp: int) -> Transform:
        """The transform of `frame`. Raises BadInput where nothing tells it."""
        if frame == self._mount.frame:
            return mounted(self._mount)
        if pose := self._seen.pose(frame):
            return pose
        reason = self._seen.transforms or f"no transform connects it with {self._seen.base()}"
        raise BadInput(f"objects are in frame {frame!r}, and {reason}: name it as objects.frame in the rig, with its position")


class RecordedObjects:
    """Messages of the objects of `rig` -> what is reported. `sweep_at` gives the points of a stamp [ns], as for a detector."""

    def __init__(self, recording: Recording, rig: Rig, sweep_at: Callable[[int], np.ndarray | None]) -> None:
        self._mount = rig.objects
        self._names = ClassNames(self._mount.classes)
        seen = observed_in(recording.path)
        self._transforms = RecordedTransforms(seen, self._mount)
        self._sweep_at = sweep_at
        self._camera = _recorded_camera(seen, rig) if self._mount.camera else None

    def __call__(self, message: Any, time: int) -> ObjectList:
        """Raises BadInput. A message without a stamp is of the `time` [ns] at which it was recorded."""
        report = read_report(message)
        report = report if report.stamp > 0 else dataclasses.replace(report, stamp=time)
        return located_objects(report, "objects", self._names, self._transforms, self._view if self._camera else None)

    def _view(self, stamp: int) -> tuple[Pinhole, tuple[np.ndarray, np.ndarray] | None]:
        points = self._sweep_at(stamp)
        return self._camera, None if points is None else project_sweep(points, self._camera)


def _recorded_camera(seen: Observed, rig: Rig) -> Pinhole:
    """The camera to which boxes in an image belong. Raises BadInput where neither the recording nor the rig has its lens."""
    mount = rig.camera(rig.objects.camera)
    info = seen.infos.get(info_topic(f"/{mount.topic.strip('/')}"))
    if info is not None:
        mount = dataclasses.replace(mount, calibration=calibration_from_info(info, is_rectified(mount.topic)))
    if mount.calibration is None:
        raise BadInput(f"boxes of camera {mount.name} have no bearing: {info_topic(mount.topic)} is not recorded")
    return mounted_camera(mount, *mount.calibration.size)
