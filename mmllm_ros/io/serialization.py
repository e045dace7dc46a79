# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames -> serialized standard messages, for recordings and for publishers, which accept serialized bytes. Needs no ROS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from rosbags.typesys import Stores, get_typestore

from ..datatypes import NANOSECONDS, CameraFrame, Frame, ImuWindow, LidarScan, Signal
from ..rig import CameraMount, Rig, rotation
from .camera_info import info_topic
from .frames import to_imu, to_lidar
from .sound import encode_pcm

_UNKNOWN = np.zeros(9)
_NOT_REPORTED = np.array([-1.0] + [0.0] * 8)  # REP-145: the orientation is not reported
_OPTICAL = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], dtype=float)  # x right, y down, z forward (REP-103)
_POINT_FIELDS = ("x", "y", "z", "intensity")
_SIGNAL_TYPES = {
    "depth": "sensor_msgs/msg/Image",
    "normals": "sensor_msgs/msg/Image",
    "audio": "std_msgs/msg/UInt8MultiArray",
    "array": "std_msgs/msg/Float32MultiArray",
}
"""The messages of signals that no camera, lidar or IMU sends; normals are computed from depth by who reads it."""


class Serialized(NamedTuple):
    """One message: `topic` relative as in the rig, ROS `type`, `stamp` [ns] and `data` in CDR."""

    topic: str
    type: str
    stamp: int
    data: bytes


class Serializer:
    """Converts frames of `rig` to messages with its topics and axes.

    A camera whose topic ends in /compressed is sent as PNG, any other as rgb8, each with its CameraInfo. Of overlapping
    ImuWindows every sample is sent once.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._newest_imu = -1

    def topics(self) -> dict[str, str]:
        """Topic -> type of all messages that `messages` may yield."""
        cameras = {mount.topic: f"sensor_msgs/msg/{_image_type(mount)}" for mount in self.rig.cameras}
        infos = {info_topic(mount.topic): "sensor_msgs/msg/CameraInfo" for mount in self.rig.cameras}
        lidar = {self.rig.lidar.topic: "sensor_msgs/msg/PointCloud2"} if self.rig.lidar else {}
        imu = {self.rig.imu.topic: "sensor_msgs/msg/Imu"} if self.rig.imu else {}
        signals = {mount.topic: kind for mount in self.rig.signals if (kind := _SIGNAL_TYPES.get(mount.kind))}
        return {**signals, **cameras, **infos, **lidar, **imu}

    def messages(self, frame: Frame) -> Iterator[Serialized]:
        """The messages of `frame`."""
        if isinstance(frame, CameraFrame):
            yield from self._camera(frame)
        elif isinstance(frame, LidarScan):
            yield self._lidar(frame)
        elif isinstance(frame, Signal):
            yield self._signal(frame)
        else:
            yield from self._imu(frame)

    def transforms(self, stamp: int) -> Serialized:
        """The transforms from base_link to the sensors, for /tf_static."""
        poses = [(camera_frame_id(mount), mount.position, camera_rotation(mount)) for mount in self.rig.cameras]
        if self.rig.lidar:
            poses.append(("lidar", self.rig.lidar.position, rotation(self.rig.lidar.axes)))
        if self.rig.imu:
            poses.append(("imu_link", (0.0, 0.0, 0.0), rotation(self.rig.imu.axes)))
        transforms = [
            self._make(
                "geometry_msgs/msg/TransformStamped",
                header=self._header(stamp, "base_link"),
                child_frame_id=child,
                transform=self._make(
                    "geometry_msgs/msg/Transform",
                    translation=self._vector(position),
                    rotation=self._quaternion(_quaternion(turn)),
                ),
            )
            for child, position, turn in poses
        ]
        return self._serialized("/tf_static", "tf2_msgs/msg/TFMessage", stamp, transforms=transforms)

    def _camera(self, frame: CameraFrame) -> Iterator[Serialized]:
        mount = self.rig.camera(frame.source)
        height, width = frame.image.shape[:2]
        header = self._header(frame.stamp, camera_frame_id(mount))
        if _image_type(mount) == "CompressedImage":
            png = cv2.imencode(".png", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR))[1].reshape(-1)
            fields = {"header": header, "format": "rgb8; png compressed bgr8", "data": png}
        else:
            layout = {"height": height, "width": width, "encoding": "rgb8", "is_bigendian": 0, "step": 3 * width}
            fields = {"header": header, **layout, "data": np.ascontiguousarray(frame.image).reshape(-1)}
        yield self._serialized(mount.topic, f"sensor_msgs/msg/{_image_type(mount)}", frame.stamp, **fields)
        yield self._camera_info(mount, frame.stamp, header, width, height)

    def _camera_info(self, mount: CameraMount, stamp: int, header: Any, width: int, height: int) -> Serialized:
        focal = mount.focal_length(width)
        k = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        fields = {"height": height, "width": width, "distortion_model": "plumb_bob", "d": np.zeros(5), "k": k.reshape(-1)}
        projection = np.hstack([k, np.zeros((3, 1))]).reshape(-1)
        whole = self._make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        fields |= {"r": np.eye(3).reshape(-1), "p": projection, "binning_x": 0, "binning_y": 0, "roi": whole}
        return self._serialized(info_topic(mount.topic), "sensor_msgs/msg/CameraInfo", stamp, header=header, **fields)

    def _lidar(self, scan: LidarScan) -> Serialized:
        points = np.ascontiguousarray(to_lidar(scan.points, self.rig.lidar))
        layout = [
            self._make("sensor_msgs/msg/PointField", name=name, offset=4 * i, datatype=7, count=1)
            for i, name in enumerate(_POINT_FIELDS)
        ]
        size = {"height": 1, "width": len(points), "point_step": 16, "row_step": 16 * len(points)}
        fields = {**size, "fields": layout, "is_bigendian": False, "is_dense": True, "data": points.view(np.uint8).reshape(-1)}
        header = self._header(scan.stamp, "lidar")
        return self._serialized(self.rig.lidar.topic, "sensor_msgs/msg/PointCloud2", scan.stamp, header=header, **fields)

    def _imu(self, window: ImuWindow) -> Iterator[Serialized]:
        for time, sample in zip(window.times.tolist(), to_imu(window.samples, self.rig.imu), strict=True):
            if time <= self._newest_imu:
                continue
            self._newest_imu = time
            yield self._serialized(
                self.rig.imu.topic,
                "sensor_msgs/msg/Imu",
                time,
                header=self._header(time, "imu_link"),
                orientation=self._quaternion((0.0, 0.0, 0.0, 1.0)),
                orientation_covariance=_NOT_REPORTED,
                linear_acceleration=self._vector(sample[:3]),
                linear_acceleration_covariance=_UNKNOWN,
                angular_velocity=self._vector(sample[3:]),
                angular_velocity_covariance=_UNKNOWN,
            )

    def _signal(self, signal: Signal) -> Serialized:
        """Depth as 32FC1, sound as S16LE, an array as its numbers."""
        topic = next(mount.topic for mount in self.rig.signals if mount.name == signal.source)
        kind = _SIGNAL_TYPES[signal.kind]
        if signal.kind in ("depth", "normals"):
            _, height, width = signal.data.shape
            data = np.ascontiguousarray(signal.data, "<f4").view(np.uint8).reshape(-1)
            layout = {"height": height, "width": width, "encoding": "32FC1", "is_bigendian": 0, "step": 4 * width}
            header = self._header(signal.stamp, f"{signal.source}_optical")
            return self._serialized(topic, kind, signal.stamp, header=header, **layout, data=data)
        if signal.kind == "audio":
            data = np.frombuffer(encode_pcm(signal.data), np.uint8)
        else:
            data = np.ascontiguousarray(signal.data, np.float32).reshape(-1)
        layout = self._make("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
        return self._serialized(topic, kind, signal.stamp, layout=layout, data=data)

    def _make(self, kind: str, **fields: Any) -> Any:
        return self._store.types[kind](**fields)

    def _serialized(self, topic: str, kind: str, stamp: int, **fields: Any) -> Serialized:
        return Serialized(topic, kind, stamp, bytes(self._store.serialize_cdr(self._make(kind, **fields), kind)))

    def _header(self, stamp: int, frame_id: str) -> Any:
        time = self._make("builtin_interfaces/msg/Time", sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS)
        return self._make("std_msgs/msg/Header", stamp=time, frame_id=frame_id)

    def _vector(self, values: Any) -> Any:
        return self._make("geometry_msgs/msg/Vector3", **dict(zip("xyz", map(float, values), strict=True)))

    def _quaternion(self, values: Any) -> Any:
        return self._make("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", map(float, values), strict=True)))


def camera_frame_id(mount: CameraMount) -> str:
    """The frame of a camera's images: z forward, hence the suffix (REP-103)."""
    return f"camera_{mount.name}_optical"


def camera_rotation(mount: CameraMount) -> np.ndarray:
    """Optical axes of the camera -> base axes, [3, 3]."""
    c, s = math.cos(mount.bearing), math.sin(mount.bearing)
    yaw = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    c, s = math.cos(mount.pitch), math.sin(mount.pitch)
    pitch = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return yaw @ pitch @ _OPTICAL


def _image_type(mount: CameraMount) -> str:
    return "CompressedImage" if mount.topic.endswith("/compressed") else "Image"


def _quaternion(turn: np.ndarray) -> np.ndarray:
    """x, y, z, w of a rotation matrix: the dominant eigenvector of Bar-Itzhack's symmetric matrix."""
    m = turn.astype(float)
    skew = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    upper = m + m.T - np.trace(m) * np.eye(3)
    matrix = np.block([[upper, skew[:, None]], [skew[None, :], np.array([[np.trace(m)]])]])
    return np.linalg.eigh(matrix)[1][:, -1]
