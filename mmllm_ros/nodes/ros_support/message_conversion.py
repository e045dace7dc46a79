# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""cv_bridge and sensor_msgs_py where they are installed and work. Everything they cannot do, decoding.py does.

A cv_bridge built for NumPy 1 crashes with NumPy 2, at import or at first use, so another process tries it first.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np
from rclpy.logging import get_logger
from sensor_msgs.msg import Image, PointCloud2

from ...io.decoding import ENCODINGS, gather_points, intensity_name

_TRIAL = """
from cv_bridge import CvBridge
from sensor_msgs.msg import Image
image = Image(height=2, width=2, encoding="bgr8", step=6, data=bytes(range(12)))
assert CvBridge().imgmsg_to_cv2(image, "rgb8")[1, 1].tolist() == [11, 10, 9]
"""

_SHARED = {
    f"{order}8" for order in ("rgb", "bgr", "rgba", "bgra", "mono", "bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")
}
_SHARED |= {"mono16", "yuv422", "yuv422_yuy2"}


def image_by_bridge(message: Image) -> np.ndarray | None:
    """Of a checked Image, uint8 [h, w, 3] RGB by cv_bridge; None where it is not there or not up to this image."""
    depth, channels, _ = ENCODINGS[message.encoding]
    # cv_bridge takes a row for a whole number of pixels, its copy on PyPI for one without padding: they shear what is not.
    if message.encoding not in _SHARED or message.step != message.width * channels * np.dtype(depth).itemsize:
        return None
    return _guarded(_cv_bridge(), message)


def cloud_by_bridge(message: PointCloud2) -> np.ndarray | None:
    """Of a checked PointCloud2, the points as decode_cloud gives them, by sensor_msgs_py; None as above."""
    # sensor_msgs_py does not know of padding after a row.
    if message.height > 1 and message.row_step != message.width * message.point_step:
        return None
    return _guarded(_sensor_msgs_py(), message)


class _Converter:
    """One third-party conversion, given up for good after its first failure."""

    def __init__(self, name: str, convert: Callable | None) -> None:
        self.name = name
        self.convert = convert


def _guarded(converter: _Converter, message: Image | PointCloud2) -> np.ndarray | None:
    if converter.convert is None:
        return None
    try:
        return converter.convert(message)
    except Exception as error:  # it is third-party code on a message that passed our own checks
        converter.convert = None
        _say(converter.name, error)
        return None


@cache
def _cv_bridge() -> _Converter:
    if find_spec("cv_bridge") is None:
        return _Converter("cv_bridge", None)
    trial = subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, text=True)
    if trial.returncode < 0:
        _say("cv_bridge", f"it crashed, as one built for another NumPy than {np.__version__} does")
        return _Converter("cv_bridge", None)
    if trial.returncode:
        _say("cv_bridge", trial.stderr.strip().splitlines()[-1])
        return _Converter("cv_bridge", None)
    from cv_bridge import CvBridge

    bridge = CvBridge()
    return _Converter("cv_bridge", lambda message: bridge.imgmsg_to_cv2(message, "rgb8"))


@cache
def _sensor_msgs_py() -> _Converter:
    try:
        from sensor_msgs_py.point_cloud2 import read_points
    except ImportError as error:
        if find_spec("sensor_msgs_py") is not None:
            _say("sensor_msgs_py", error)
        return _Converter("sensor_msgs_py", None)

    def convert(message: PointCloud2) -> np.ndarray:
        intensity = intensity_name(field.name for field in message.fields)
        points = read_points(message, ["x", "y", "z", *([intensity] if intensity else [])])
        return gather_points([points[name] for name in "xyz"], points[intensity] if intensity else None)

    return _Converter("sensor_msgs_py", convert)


def _say(name: str, problem: object) -> None:
    get_logger("mmllm_ros").info(f"{name} does not work here ({problem}): mmllm_ros converts by itself")
