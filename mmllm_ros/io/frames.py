# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sensor messages <-> frames, by the mounts of the rig.

Works on any object with the fields of the ROS message, of rclpy in the nodes and of rosbags in a recording; imports neither.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from ..datatypes import GRAVITY, NANOSECONDS, BadInput, CameraFrame, Frame, ImuWindow, LidarScan
from ..rig import ImuMount, LidarMount, rotation
from .decoding import decode_cloud, decode_compressed, decode_image

MAX_READING = 1e5
"""Larger accelerations [m/s^2] and angular velocities [rad/s] are invalid."""

IMU_WINDOW = NANOSECONDS
"""Length of an ImuWindow [ns]."""


def shifted(frame: Frame, shift: int) -> Frame:
    """The frame with `shift` [ns] added to all its times."""
    times = {"times": frame.times + shift} if isinstance(frame, ImuWindow) else {}
    return replace(frame, stamp=frame.stamp + shift, **times)


def same_topic(topic: str, rig_topic: str) -> bool:
    """Whether a recorded or live `topic` is the sensor of `rig_topic`, compressed or not."""
    return _plain(topic) == _plain(rig_topic)


def _plain(topic: str) -> str:
    return topic.strip("/").removesuffix("/compressed")


def stamp_of(message: Any) -> int:
    """The header stamp in nanoseconds."""
    return message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec


def camera_frame(message: Any, source: str) -> CameraFrame:
    """From an Image or a CompressedImage. Raises BadInput."""
    if hasattr(message, "encoding"):
        size = (message.height, message.width)
        image = decode_image(message.data, *size, message.encoding, message.step, bool(message.is_bigendian))
    else:
        image = decode_compressed(message.data, message.format)
    return CameraFrame(stamp_of(message), source, image)


def lidar_scan(message: Any, source: str, mount: LidarMount) -> LidarScan:
    """From a PointCloud2. Raises BadInput."""
    shape = (message.point_step, message.row_step, message.height, message.width)
    points = decode_cloud(message.data, message.fields, *shape, bool(message.is_bigendian))
    return LidarScan(stamp_of(message), source, from_lidar(points, mount))


def from_lidar(points: np.ndarray, mount: LidarMount) -> np.ndarray:
    """Points [n, 4] in sensor axes -> float32 [n, 4] in REP-103 axes; the intensity stays."""
    return np.concatenate([points[:, :3] @ rotation(mount.axes).T, points[:, 3:]], axis=1, dtype=np.float32)


def to_lidar(points: np.ndarray, mount: LidarMount) -> np.ndarray:
    """The inverse of `from_lidar`."""
    return np.concatenate([points[:, :3] @ rotation(mount.axes), points[:, 3:]], axis=1, dtype=np.float32)


def imu_sample(message: Any, mount: ImuMount) -> np.ndarray:
    """From an Imu: float32 [6], specific force and angular velocity as in ImuWindow; orientation is not needed.

    REP-145: a covariance that starts with -1 marks its field as not reported; all zeros mark an unknown covariance. A single axis
    is not reported where its value is NaN, or the diagonal element of its covariance is -1; it becomes NaN. Raises BadInput where
    a field, the forward force or the yaw rate is not reported, and for a value beyond MAX_READING.
    """
    reported = {"specific force": message.linear_acceleration_covariance, "angular velocity": message.angular_velocity_covariance}
    for name, covariance in reported.items():
        if covariance[0] == -1.0:
            raise BadInput(f"imu {message.header.frame_id!r} does not report its {name} (covariance -1, REP-145)")
    force, rate = message.linear_acceleration, message.angular_velocity
    sample = np.array([[force.x, force.y, force.z, rate.x, rate.y, rate.z]])
    variances = np.array([reported[name][index] for name in reported for index in (0, 4, 8)])
    sample[0, variances == -1.0] = np.nan
    if (np.abs(sample) >= MAX_READING).any():  # NaN compares false
        raise BadInput(f"imu sample {sample[0].tolist()} is beyond the range of any sensor")
    turned = from_imu(sample, mount)[0]
    for axis, name in ((0, "forward specific force"), (5, "yaw rate")):
        if np.isnan(turned[axis]):
            raise BadInput(f"imu {message.header.frame_id!r} does not report its {name}, without which it cannot be used")
    return turned


def from_imu(samples: np.ndarray, mount: ImuMount) -> np.ndarray:
    """Samples [n, 6] in sensor axes -> float32 [n, 6] in REP-103 axes with +g on z at rest. NaN stays NaN, in its axis."""
    turn = rotation(mount.axes).T
    missing = np.isnan(samples)
    if missing.any():
        samples = np.where(missing, 0.0, samples)
    turned = np.concatenate([samples[:, :3] @ turn, samples[:, 3:] @ turn], axis=1)
    if missing.any():
        along = np.abs(turn)
        turned[np.concatenate([missing[:, :3] @ along, missing[:, 3:] @ along], axis=1) > 0] = np.nan
    if mount.gravity_removed:
        turned[:, 2] += GRAVITY
    return turned.astype(np.float32)


def to_imu(samples: np.ndarray, mount: ImuMount) -> np.ndarray:
    """The inverse of `from_imu`, float64 [n, 6]."""
    turned = samples.astype(np.float64)
    if mount.gravity_removed:
        turned[:, 2] -= GRAVITY
    turn = rotation(mount.axes)
    return np.concatenate([turned[:, :3] @ turn, turned[:, 3:] @ turn], axis=1)


class ImuBuffer:
    """The samples of the last second of one IMU."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._samples: deque[tuple[int, np.ndarray]] = deque(maxlen=4096)

    def push(self, stamp: int, sample: np.ndarray) -> bool:
        """Append a sample; False where it is not newer than the last. A jump back by a window or more clears the buffer."""
        if self._samples and stamp <= self._samples[-1][0]:
            if self._samples[-1][0] - stamp < IMU_WINDOW:
                return False
            self._samples.clear()
        self._samples.append((stamp, sample))
        while stamp - self._samples[0][0] > IMU_WINDOW:
            self._samples.popleft()
        return True

    def clear(self) -> None:
        """Remove all samples."""
        self._samples.clear()

    def window(self) -> ImuWindow | None:
        """The newest second, or None while there are fewer than two samples."""
        if len(self._samples) < 2:
            return None
        times = np.array([stamp for stamp, _ in self._samples], dtype=np.int64)
        return ImuWindow(int(times[-1]), self.source, times, np.stack([sample for _, sample in self._samples]))


def points_in_base(points: np.ndarray, mount: LidarMount) -> np.ndarray:
    """LidarScan points [n, 4] of a lidar on `mount` -> float32 [n, 4] in the base frame; the intensity stays."""
    return points + np.float32([*mount.position, 0.0])
