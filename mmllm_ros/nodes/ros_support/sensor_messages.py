# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sensor messages -> frames, in the axes of the rig. An invalid message raises BadInput, one line with the reason."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2
from std_msgs.msg import Header

from ...datatypes import NANOSECONDS, BadInput, CameraFrame, LidarScan
from ...io import frames
from ...io.decoding import check_cloud, check_image
from ...rig import CameraMount, ImuMount, LidarMount
from .message_conversion import cloud_by_sensor_msgs_py, image_by_cv_bridge


def stamp_from(header: Header) -> int:
    """Nanoseconds. Raises BadInput for a zero stamp, which a driver sends that does not set it."""
    stamp = header.stamp.sec * NANOSECONDS + header.stamp.nanosec
    if stamp <= 0:
        raise BadInput(
            f"stamp is {header.stamp.sec}.{header.stamp.nanosec:09d}: the driver of {header.frame_id!r} does not set it"
        )
    return stamp


def frame_from_message(
    message: Image | CompressedImage | PointCloud2, source: str, mount: CameraMount | LidarMount
) -> CameraFrame | LidarScan:
    """A camera or lidar message -> frame, in the axes of the rig. Raises BadInput."""
    stamp = stamp_from(message.header)
    if isinstance(message, Image):
        check_image(message.data, message.height, message.width, message.encoding, message.step)
        image = image_by_cv_bridge(message)
        return frames.camera_frame(message, source) if image is None else CameraFrame(stamp, source, image)
    if isinstance(message, CompressedImage):
        return frames.camera_frame(message, source)
    size = message.point_step, message.row_step, message.height, message.width
    check_cloud(message.data, message.fields, *size)
    points = cloud_by_sensor_msgs_py(message)
    if points is None:
        return frames.lidar_scan(message, source, mount)
    return LidarScan(stamp, source, frames.from_lidar(points, mount))


def imu_from_message(message: Imu, mount: ImuMount) -> tuple[int, np.ndarray]:
    """Stamp [ns] and float32 [6] as in ImuWindow. Raises BadInput."""
    return stamp_from(message.header), frames.imu_sample(message, mount)
