# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CameraInfo messages -> calibrations. Works on any object with the fields of the message."""

from __future__ import annotations

import math
from typing import Any

from ..datatypes import BadInput
from ..rig import LENSES, Calibration

_ALIASES = {"fisheye": "equidistant", "": "plumb_bob", "none": "plumb_bob", "rational": "rational_polynomial"}
"""What drivers also write for a distortion model."""
_COEFFICIENTS = {"plumb_bob": (0, 4, 5), "rational_polynomial": (0, 8, 12, 14), "equidistant": (0, 4)}


def info_topic(image_topic: str) -> str:
    """The topic of the CameraInfo that belongs to an image topic: `camera_info` beside it."""
    plain = image_topic.removesuffix("/compressed")
    return f"{plain.rpartition('/')[0] or plain}/camera_info"


def is_rectified(image_topic: str) -> bool:
    """Whether a topic carries undistorted images, by the name that image_proc gives them."""
    return "_rect" in image_topic.removesuffix("/compressed").rpartition("/")[2]


def calibration_from_info(info: Any, rectified: bool = False) -> Calibration:
    """The calibration of the images that come with `info`; of undistorted ones where `rectified`. Raises BadInput."""
    width, height = int(info.width), int(info.height)
    k, p = [float(value) for value in info.k], [float(value) for value in info.p]
    matrix = (p[0], p[5], p[2], p[6]) if rectified else (k[0], k[4], k[2], k[5])
    what = f"CameraInfo of {info.header.frame_id!r}"
    if not (width > 0 and height > 0 and all(map(math.isfinite, matrix)) and min(matrix[:2]) > 0):
        raise BadInput(f"{what} is not calibrated: {width} x {height} pixels, focal lengths {matrix[0]:g} and {matrix[1]:g}")
    lens, distortion = LENSES[0], ()
    if not rectified:
        name = str(info.distortion_model).strip().lower()
        lens, distortion = _ALIASES.get(name, name), tuple(float(value) for value in info.d)
        if lens not in LENSES:
            raise BadInput(f"{what} has the distortion model {str(info.distortion_model)[:40]!r}, not one of {list(LENSES)}")
        if len(distortion) not in _COEFFICIENTS[lens] or not all(map(math.isfinite, distortion)):
            raise BadInput(f"{what} has {len(distortion)} coefficients for {lens}, not {_COEFFICIENTS[lens]} finite ones")
        if not any(distortion) and lens != "equidistant":
            distortion = ()
    # K is of the whole sensor; an image may be a part of it, or have fewer pixels.
    across, down = max(1, int(info.binning_x)), max(1, int(info.binning_y))
    left, top = int(info.roi.x_offset), int(info.roi.y_offset)
    columns, rows = int(info.roi.width) or width, int(info.roi.height) or height
    return Calibration(
        (columns // across, rows // down),
        (matrix[0] / across, matrix[1] / down),
        ((matrix[2] - left) / across, (matrix[3] - top) / down),
        lens,
        distortion,
    )
