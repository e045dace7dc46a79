# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images by cv_bridge and clouds by sensor_msgs_py where they are installed; io/decoding.py converts everything else.

A library that raises, at import or in a conversion, is not used again. A cv_bridge built for NumPy 1 crashes in C with NumPy 2,
which cannot be caught, and nothing says what it was built for: with NumPy 2 cv_bridge is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from rclpy.logging import get_logger
from sensor_msgs.msg import Image, PointCloud2

from ...datatypes import one_line
from ...io.decoding import ENCODINGS, gather_points, intensity_name

_CV_BRIDGE_ENCODINGS = {
    *(f"{order}8" for order in ("rgb", "bgr", "rgba", "bgra", "mono", "bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")),
    *("mono16", "yuv422", "yuv422_yuy2"),
}

_unusable: set[str] = set() if np.__version__.startswith("1.") else {"cv_bridge"}


def image_by_cv_bridge(message: Image) -> np.ndarray | None:
    """A checked Image -> uint8 [h, w, 3], RGB; None where cv_bridge cannot be used or does not support the layout."""
    depth, channels, _ = ENCODINGS[message.encoding]
    # cv_bridge shears an image whose rows are padded by a part of a pixel, and its version on PyPI one with any padding.
    padded = message.step != message.width * channels * np.dtype(depth).itemsize
    if padded or message.encoding not in _CV_BRIDGE_ENCODINGS:
        return None
    return _convert("cv_bridge", _by_cv_bridge, message)


def cloud_by_sensor_msgs_py(message: PointCloud2) -> np.ndarray | None:
    """A checked PointCloud2 -> points as decode_cloud returns them; None as above. sensor_msgs_py ignores padding after a row."""
    if message.height > 1 and message.row_step != message.width * message.point_step:
        return None
    return _convert("sensor_msgs_py", _by_sensor_msgs_py, message)


def _convert(library: str, convert: Callable[[Any], np.ndarray], message: Any) -> np.ndarray | None:
    if library in _unusable:
        return None
    try:
        return convert(message)
    except Exception as error:  # third-party code, and the message has passed our own checks
        _unusable.add(library)
        if not (isinstance(error, ModuleNotFoundError) and error.name == library):
            get_logger("mmllm_ros").info(f"{library} fails ({one_line(error)}): mmllm_ros converts by itself")
        return None


@cache
def _bridge() -> Any:
    from cv_bridge import CvBridge

    return CvBridge()


def _by_cv_bridge(message: Image) -> np.ndarray:
    return _bridge().imgmsg_to_cv2(message, "rgb8")


def _by_sensor_msgs_py(message: PointCloud2) -> np.ndarray:
    from sensor_msgs_py.point_cloud2 import read_points

    intensity = intensity_name(field.name for field in message.fields)
    points = read_points(message, ["x", "y", "z", *([intensity] if intensity else [])])
    return gather_points([points[name] for name in "xyz"], points[intensity] if intensity else None)
