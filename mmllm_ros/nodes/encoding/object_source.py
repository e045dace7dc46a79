# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The source of the object_encoder node: messages of another perception stack, and what gives their boxes a range."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo

from ...datatypes import BadInput, ObjectList, one_line
from ...encoders.box_ranges import project_sweep
from ...encoders.reported_objects import ClassNames, Transform, located_objects, mounted
from ...io.camera_info import calibration_from_info, info_topic, is_rectified
from ...io.distorted_camera import mounted_camera
from ...io.object_messages import Report, read_report
from ...io.pinhole import Pinhole
from ...io.rig_description import quaternion_matrix
from ...rig import ObjectsMount, Rig
from ..ros_support.polled_subscription import PolledSubscription
from .nearest_sweep import NearestSweep
from .sensor_source import LatestMessageSource

BASE_FRAME = "base_link"


class ObjectSource(LatestMessageSource):
    """Objects of one message; the graph says its type. Raises BadInput for classes that the rig maps wrongly."""

    def __init__(self, node: Node, rig: Rig) -> None:
        super().__init__(node, "objects", "objects", rig.objects.topic)
        self._mount = rig.objects
        self._names = ClassNames(self._mount.classes)
        self._frames = FrameLookup(node, self._mount)
        self._ranges = BoxRanges(node, rig) if self._mount.camera else None
        if find_spec("vision_msgs") is None:
            node.get_logger().info("vision_msgs is not installed: objects are read from visualization_msgs/msg/MarkerArray only")
        self.topic.follow()

    def clear(self) -> None:
        super().clear()
        self._frames.clear()

    def read(self, message: Any) -> tuple[ObjectList, str]:
        report = self._stamped(read_report(message), timeless=hasattr(message, "markers"))
        view = self._ranges.at if self._ranges else None
        return located_objects(report, self.name, self._names, self._frames.transform, view), report.frame

    def _stamped(self, report: Report, timeless: bool) -> Report:
        """Markers often have no stamp, and an empty array has none: they are of the time at which they arrive."""
        if report.stamp > 0:
            return report
        if not timeless:
            raise BadInput(f"stamp is 0: the publisher in frame {report.frame!r} does not set it")
        return dataclasses.replace(report, stamp=self._now())


class BoxRanges:
    """What gives ranges to boxes in an image: the camera's calibration from its CameraInfo, and the lidar's newest sweep."""

    def __init__(self, node: Node, rig: Rig) -> None:
        self._mount = rig.camera(rig.objects.camera)
        self._topic = info_topic(self._mount.topic)
        self._info = PolledSubscription(node, CameraInfo, self._topic)
        self._sweep = NearestSweep(node, rig) if rig.lidar else None
        self._camera: Pinhole | None = None

    def at(self, stamp: int) -> tuple[Pinhole, tuple[np.ndarray, np.ndarray] | None]:
        """The camera, and the sweep near `stamp` [ns] as `project_sweep` gives it. Raises BadInput without a CameraInfo."""
        if taken := self._info.take():
            calibration = calibration_from_info(taken[0], is_rectified(self._mount.topic))
            mount = dataclasses.replace(self._mount, calibration=calibration)
            self._camera = mounted_camera(mount, *calibration.size)
        if self._camera is None:
            raise BadInput(f"boxes of camera {self._mount.name} have no bearing before its CameraInfo arrives on {self._topic}")
        points = self._sweep.at(stamp) if self._sweep else None
        return self._camera, None if points is None else project_sweep(points, self._camera)


class FrameLookup:
    """Transforms from the frame of a message to the base frame: by the rig, or by TF where tf2_ros is installed."""

    def __init__(self, node: Node, mount: ObjectsMount) -> None:
        self._mount = mount
        self._buffer: Any = None
        if find_spec("tf2_ros"):
            import tf2_ros

            self._too_early_or_late = tf2_ros.ExtrapolationException
            self._buffer = tf2_ros.Buffer()
            self._listener = tf2_ros.TransformListener(self._buffer, node)

    def clear(self) -> None:
        """Forget the moving frames: after a jump back in time TF ignores what is older than the newest that it has."""
        if self._buffer is not None:
            self._buffer.clear()

    def transform(self, frame: str, stamp: int) -> Transform:
        """The transform of `frame` at `stamp` [ns]. Raises BadInput where nothing tells it."""
        if frame == self._mount.frame:
            return mounted(self._mount)
        if frame == BASE_FRAME:
            return np.eye(3), np.zeros(3)
        cure = f"name it as objects.frame in the rig, with its position and bearing in {BASE_FRAME}"
        if self._buffer is None:
            raise BadInput(f"objects are in frame {frame!r}, not in {self._mount.frame!r}, and tf2_ros is not installed: {cure}")
        try:
            found = self._buffer.lookup_transform(BASE_FRAME, frame, Time(nanoseconds=stamp)).transform
        except self._too_early_or_late as error:
            what = f"TF has no transform from frame {frame!r} to {BASE_FRAME} at the time of the message"
            cure = "publish it more often, stamped by the clock that stamps the objects"
            raise BadInput(f"{what} ({one_line(error)}): {cure}") from error
        except Exception as error:  # tf2 raises types of its own
            what = f"objects are in frame {frame!r}, which TF does not connect to {BASE_FRAME}"
            raise BadInput(f"{what} ({one_line(error)}): {cure}") from error
        return quaternion_matrix(found.rotation), np.array([found.translation.x, found.translation.y, found.translation.z])
