# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and coloured points -> messages that rviz draws, in the base frame."""

from __future__ import annotations

from array import array

import numpy as np
from sensor_msgs.msg import Image, PointCloud2, PointField

from ..ros_support.messages import BASE_FRAME, header

_NAMES = ("x", "y", "z", "rgb")
_FIELDS = [PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate(_NAMES)]


def image_to_message(picture: np.ndarray, stamp: int) -> Image:
    """An image uint8 [h, w, 3], RGB, at `stamp` [ns] -> Image."""
    height, width, _ = picture.shape
    data = array("B", picture.tobytes())
    return Image(header=header(stamp, BASE_FRAME), height=height, width=width, encoding="rgb8", step=3 * width, data=data)


def cloud_to_message(points: np.ndarray, colours: np.ndarray, stamp: int) -> PointCloud2:
    """Points float32 [n, 3 or more] in the base frame [m] and colours uint8 [n, 3], RGB -> PointCloud2 with the field `rgb`."""
    cloud = np.empty((len(points), 4), np.float32)
    cloud[:, :3] = points[:, :3]
    red, green, blue = colours.astype(np.uint32).T
    cloud[:, 3] = (red << 16 | green << 8 | blue).view(np.float32)
    data = array("B", cloud.tobytes())
    size = {"height": 1, "width": len(points), "point_step": 16, "row_step": 16 * len(points)}
    return PointCloud2(header=header(stamp, BASE_FRAME), fields=_FIELDS, is_dense=True, data=data, **size)
