# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sensor messages -> signals of the universal encoder, by the mounts of the rig (their form: encoders/universal/signals.py).

Works on any object with the fields of the ROS message and imports none, as frames.py does. Messages without a header, audio and
arrays, are of the time at which they arrive.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from ..datatypes import BadInput, Signal
from ..rig import ImuMount, LidarMount, SignalMount
from .depth_images import NORMAL_ENCODING, decode_depth, decode_normals, normals_from_depth
from .frames import ImuBuffer, camera_frame, imu_sample, lidar_scan, stamp_of
from .sound import SoundBuffer

AUDIO_TYPES = ("std_msgs/msg/UInt8MultiArray", "audio_common_msgs/msg/AudioData")
ARRAY_TYPES = ("std_msgs/msg/Float32MultiArray",)
IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
MESSAGE_TYPES = {
    "image": IMAGE_TYPES,
    "video": IMAGE_TYPES,
    "points": ("sensor_msgs/msg/PointCloud2",),
    "depth": IMAGE_TYPES[:1],
    "normals": IMAGE_TYPES[:1],
    "audio": AUDIO_TYPES,
    "imu": ("sensor_msgs/msg/Imu",),
    "array": ARRAY_TYPES,
}
"""The messages that carry each kind of signal."""
STREAMS = ("video", "audio", "imu")
"""Kinds of which one signal is made of several messages."""
CLIP_FRAMES, CLIP_PERIOD = 4, 400_000_000
"""A clip has so many frames, so far apart [ns]."""
IMU_SAMPLES = 100
MAX_ARRAY = 1_000_000
MAX_VALUE = 1e6


def signal_of(mount: SignalMount, stamp: int, data: np.ndarray) -> Signal:
    """A signal of the sensor at `mount`."""
    return Signal(mount.modality, stamp, mount.name, data, mount.bearing, mount.fov, mount.kind)


def signal_from_message(message: Any, mount: SignalMount, arrived: int) -> Signal:
    """One signal from one message of a kind that is not in STREAMS; `arrived` [ns] is its time where it has no stamp. Raises
    BadInput."""
    if mount.kind == "array":
        return signal_of(mount, arrived, read_array(message, mount))
    if mount.kind == "points":
        scan = lidar_scan(message, mount.name, LidarMount(mount.topic, mount.axes))
        return signal_of(mount, scan.stamp, scan.points)
    if mount.kind == "image":
        frame = camera_frame(message, mount.name)
        return signal_of(mount, frame.stamp, channels_first(frame.image))
    image = (message.data, message.height, message.width, message.encoding, message.step, bool(message.is_bigendian))
    if mount.kind == "normals" and message.encoding == NORMAL_ENCODING:
        return signal_of(mount, stamp_of(message), decode_normals(*image))
    depth = decode_depth(*image)
    data = depth[None] if mount.kind == "depth" else normals_from_depth(depth, mount.fov)
    return signal_of(mount, stamp_of(message), data)


def read_array(message: Any, mount: SignalMount) -> np.ndarray:
    """A Float32MultiArray -> float32 [channels, samples], rows in the order of its data. Raises BadInput."""
    given = len(message.data)
    if not 0 < given <= MAX_ARRAY or given % mount.channels:
        raise BadInput(f"array of {given} numbers: not 1 to {MAX_ARRAY} in {mount.channels} rows of equal length")
    values = np.array(message.data, np.float32).reshape(mount.channels, -1)
    if not (np.abs(values) <= MAX_VALUE).all():  # NaN compares false
        raise BadInput(f"array holds a number that is not finite or larger than {MAX_VALUE:g}")
    return values


def channels_first(image: np.ndarray) -> np.ndarray:
    """[h, w, c] -> [c, h, w]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))


class SignalStream:
    """Makes signals of a kind in STREAMS from its latest messages."""

    def __init__(self, mount: SignalMount) -> None:
        """Raises BadInput for audio settings out of range."""
        self._mount = mount
        self._sound = SoundBuffer(mount.rate, mount.channels, mount.encoding) if mount.kind == "audio" else None
        self._imu = ImuBuffer(mount.name) if mount.kind == "imu" else None
        self._clip: deque[tuple[int, Any]] = deque(maxlen=CLIP_FRAMES)

    def push(self, message: Any, arrived: int) -> int | None:
        """Take a message; returns its stamp [ns], None for one that is late or not needed. Raises BadInput."""
        if self._sound:
            self._sound.push(arrived, bytes(message.data))
            return arrived
        stamp = stamp_of(message)
        if self._imu:
            return stamp if self._imu.push(stamp, imu_sample(message, ImuMount(self._mount.topic, self._mount.axes))) else None
        newest = self._clip[-1][0] if self._clip else None
        if newest is not None and stamp < newest:
            self._clip.clear()
        elif newest is not None and stamp - newest < 0.9 * CLIP_PERIOD:
            return None
        self._clip.append((stamp, message))
        return stamp

    def clear(self) -> None:
        """Forget all messages."""
        self._clip.clear()
        for buffer in (self._sound, self._imu):
            if buffer:
                buffer.clear()

    def signal(self) -> Signal | None:
        """The newest signal, None while there is too little. Raises BadInput."""
        if self._sound:
            heard = self._sound.window()
            return signal_of(self._mount, *heard) if heard else None
        if self._imu:
            window = self._imu.window()
            if window is None:
                return None
            even = np.linspace(window.times[0], window.times[-1], IMU_SAMPLES)
            axes = [np.interp(even, window.times, axis) for axis in window.samples.T]
            return signal_of(self._mount, window.stamp, np.stack(axes, 1).astype(np.float32))
        if not self._clip:
            return None
        # The oldest frame stands in for those before it while the clip is not full.
        frames = [channels_first(camera_frame(message, self._mount.name).image) for _, message in self._clip]
        if len({frame.shape for frame in frames}) > 1:
            raise BadInput(f"the images of {self._mount.name} change their size within a clip")
        return signal_of(self._mount, self._clip[-1][0], np.stack([frames[0]] * (CLIP_FRAMES - len(frames)) + frames))
