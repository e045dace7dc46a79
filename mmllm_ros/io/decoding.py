# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Decodes the bytes of images and point clouds, in any layout that ROS drivers send, to arrays. Raises BadInput."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..datatypes import BadInput

MAX_SIDE = 32_768
MAX_PIXELS = 50_000_000
MAX_POINTS = 4_000_000
MAX_COORDINATE = 10_000.0
"""Points with a larger coordinate [m] are invalid: no lidar has this range."""


class Field(NamedTuple):
    """One field of a point: byte `offset` within the point, `datatype` as numbered by sensor_msgs/PointField."""

    name: str
    offset: int
    datatype: int


class _Encoding(NamedTuple):
    depth: str  # numpy type of one channel, without byte order
    channels: int
    to_rgb: Callable[[np.ndarray], np.ndarray]


def _colour(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: cv2.cvtColor(np.ascontiguousarray(image), code)


def _narrow(convert: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: convert((image >> 8).astype(np.uint8))


def _stretched(image: np.ndarray) -> np.ndarray:
    finite = np.isfinite(image)
    low, high = (image[finite].min(), image[finite].max()) if finite.any() else (0, 0)
    with np.errstate(all="ignore"):
        span = max(float(high) - float(low), 1e-12)
        grey = np.where(finite, (image.astype(np.float64) - float(low)) * (255.0 / span), 0.0)
    return _colour(cv2.COLOR_GRAY2RGB)(grey.astype(np.uint8))


_CHANNEL_ORDERS = {
    "rgb": (3, np.ascontiguousarray),
    "bgr": (3, _colour(cv2.COLOR_BGR2RGB)),
    "rgba": (4, _colour(cv2.COLOR_RGBA2RGB)),
    "bgra": (4, _colour(cv2.COLOR_BGRA2RGB)),
    "mono": (1, _colour(cv2.COLOR_GRAY2RGB)),
    # OpenCV names a Bayer pattern after its second row, ROS after its first.
    "bayer_rggb": (1, _colour(cv2.COLOR_BayerBG2RGB)),
    "bayer_bggr": (1, _colour(cv2.COLOR_BayerRG2RGB)),
    "bayer_gbrg": (1, _colour(cv2.COLOR_BayerGR2RGB)),
    "bayer_grbg": (1, _colour(cv2.COLOR_BayerGB2RGB)),
}
_UYVY = _Encoding("u1", 2, _colour(cv2.COLOR_YUV2RGB_UYVY))
_YUYV = _Encoding("u1", 2, _colour(cv2.COLOR_YUV2RGB_YUYV))

ENCODINGS: dict[str, _Encoding] = {
    **{f"{order}8": _Encoding("u1", channels, convert) for order, (channels, convert) in _CHANNEL_ORDERS.items()},
    **{f"{order}16": _Encoding("u2", channels, _narrow(convert)) for order, (channels, convert) in _CHANNEL_ORDERS.items()},
    "8UC1": _Encoding("u1", 1, _colour(cv2.COLOR_GRAY2RGB)),
    "8UC3": _Encoding("u1", 3, _colour(cv2.COLOR_BGR2RGB)),
    "8UC4": _Encoding("u1", 4, _colour(cv2.COLOR_BGRA2RGB)),
    # Without a known scale (depth, thermal counts): scaled from the smallest to the largest finite value; not finite = black.
    "16UC1": _Encoding("u2", 1, _stretched),
    "32FC1": _Encoding("f4", 1, _stretched),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
}

_POINT_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}


def check_image(data, height: int, width: int, encoding: str, step: int) -> None:
    """Raise BadInput unless the encoding is known, the size is within limits and `data` holds `height` rows of `step` bytes."""
    if encoding not in ENCODINGS:
        raise BadInput(f"image encoding {encoding[:40]!r} is not one of {', '.join(sorted(ENCODINGS))}")
    _check_size(height, width)
    depth, channels, _ = ENCODINGS[encoding]
    row = width * channels * np.dtype(depth).itemsize
    if step < row:
        raise BadInput(f"image step is {step} bytes, a row of {width} pixels {encoding} takes {row}")
    needed, given = step * (height - 1) + row, memoryview(data).nbytes
    if given < needed:
        raise BadInput(f"image data is {given} bytes, {width}x{height} {encoding} with step {step} takes {needed}")
    odd = width % 2 == 1 and encoding in ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")
    if odd or (encoding.startswith("bayer") and min(height, width) < 2):
        raise BadInput(f"image of {width}x{height} pixels cannot be {encoding}")


def decode_image(data, height: int, width: int, encoding: str, step: int, big_endian: bool = False) -> np.ndarray:
    """A raw image buffer -> uint8 [h, w, 3], RGB.

    `data` is any buffer of bytes, `step` the length of a row in bytes, padding included. 16-bit colours keep their upper
    byte. The result may share memory with `data`. Raises BadInput.
    """
    check_image(data, height, width, encoding, step)
    depth, channels, to_rgb = ENCODINGS[encoding]
    dtype = np.dtype(depth).newbyteorder(">" if big_endian else "<")
    shape, strides = (height, width), (step, channels * dtype.itemsize)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, dtype.itemsize)
    image = np.ndarray(shape, dtype, memoryview(data), strides=strides)
    return to_rgb(image.astype(dtype.newbyteorder("="), copy=False))


def decode_compressed(data, format: str = "") -> np.ndarray:
    """The bytes of a JPEG or PNG file -> uint8 [h, w, 3], RGB. `format` is that of the message. Raises BadInput."""
    if "compressedDepth" in format:
        raise BadInput(f"compressed image format {format[:60]!r} is a depth image, not jpeg or png")
    content = np.frombuffer(data, np.uint8) if memoryview(data).nbytes else np.empty(0, np.uint8)
    width, height = _compressed_size(content[:65536].tobytes(), format)
    _check_size(height, width)
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise BadInput(f"compressed image of {content.size} bytes cannot be decoded: {error.err or error.code}") from error
    if image is None:
        raise BadInput(f"compressed image of {content.size} bytes is damaged")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def check_cloud(data, fields: Sequence[Field], point_step: int, row_step: int, height: int, width: int) -> None:
    """Raise BadInput unless the size is within limits, the fields x y z exist, every field lies in its point and `data` holds all
    points."""
    if min(height, width) < 0 or height * width > MAX_POINTS:
        raise BadInput(f"point cloud of {width}x{height} points: not between 0 and {MAX_POINTS}")
    if height * width == 0:
        return
    if height > 1 and row_step < width * point_step:
        raise BadInput(f"point cloud row_step is {row_step} bytes, {width} points of {point_step} bytes need more")
    needed, given = row_step * (height - 1) + width * point_step, memoryview(data).nbytes
    if given < needed:
        raise BadInput(f"point cloud data is {given} bytes, {width}x{height} points of {point_step} bytes take {needed}")
    names = [field.name for field in fields]
    for name in "xyz":
        if name not in names:
            raise BadInput(f"point cloud has no field {name}, only {', '.join(names[:20]) or 'none'}")
    for field in fields:
        if field.datatype not in _POINT_TYPES:
            raise BadInput(f"point cloud field {field.name} has datatype {field.datatype}, not 1 to 8")
        if not 0 <= field.offset <= point_step - np.dtype(_POINT_TYPES[field.datatype]).itemsize:
            raise BadInput(f"point cloud field {field.name} at byte {field.offset} is outside a point of {point_step} bytes")


def decode_cloud(
    data, fields: Sequence[Field], point_step: int, row_step: int, height: int, width: int, big_endian: bool = False
) -> np.ndarray:
    """A point cloud buffer -> float32 [n, 4]: x, y, z [m, as sent] and intensity.

    Fields may have any order, offset and type; the cloud may be organised (height > 1) or empty. Points that are NaN, infinite,
    at the origin (the mark of a missing return) or beyond MAX_COORDINATE are dropped. Intensity is 0 without such a field, else
    in [0, 1]: integers, and clouds with any value above 1, are divided by 255 and clipped. Raises BadInput.
    """
    check_cloud(data, fields, point_step, row_step, height, width)
    if height * width == 0:
        return np.zeros((0, 4), np.float32)
    by_name = {field.name: field for field in fields}

    def column(name: str) -> np.ndarray:
        dtype = np.dtype(_POINT_TYPES[by_name[name].datatype]).newbyteorder(">" if big_endian else "<")
        return np.ndarray((height, width), dtype, memoryview(data), by_name[name].offset, (row_step, point_step))

    intensity = intensity_name(by_name)
    return gather_points([column(name) for name in "xyz"], column(intensity) if intensity else None)


def intensity_name(names: Iterable[str]) -> str | None:
    """The field that holds the intensity of a return, None where there is none."""
    present = set(names)
    return next((name for name in ("intensity", "i", "reflectivity") if name in present), None)


def gather_points(xyz: list[np.ndarray], intensity: np.ndarray | None) -> np.ndarray:
    """Columns of any shape and number type -> float32 [n, 4], with points dropped and intensity scaled as in decode_cloud."""
    points = np.zeros((xyz[0].size, 4), np.float32)
    with np.errstate(all="ignore"):
        for axis, values in enumerate(xyz):
            points[:, axis] = values.reshape(-1)
        if intensity is not None:
            points[:, 3] = intensity.reshape(-1)
        reach = np.abs(points[:, :3]).max(axis=1)
        points = points[(reach > 0.0) & (reach <= MAX_COORDINATE)]  # NaN compares false
        np.nan_to_num(points[:, 3], copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    if intensity is not None and len(points) and (intensity.dtype.kind in "iu" or points[:, 3].max() > 1.0):
        # Photon counts and 16-bit reflectivities have no fixed range: the brightest hundredth of the returns becomes 1.
        # Single returns above 255 are outliers of an 8-bit scale.
        eight_bit = np.quantile(points[:, 3], 0.9, method="lower") <= 255.0
        points[:, 3] /= 255.0 if eight_bit else np.quantile(points[:, 3], 0.99)
    np.clip(points[:, 3], 0.0, 1.0, out=points[:, 3])
    return points


def _check_size(height: int, width: int) -> None:
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and height * width <= MAX_PIXELS):
        raise BadInput(f"image of {width}x{height} pixels: not between 1 and {MAX_PIXELS} pixels")


def _compressed_size(head: bytes, format: str) -> tuple[int, int]:
    """Width and height from the header of the file, before memory is allocated. Raises BadInput."""
    if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR" and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head[:2] == b"\xff\xd8":
        at = 2
        while at + 9 <= len(head) and head[at] == 0xFF:
            marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
                return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
            at += 1 if marker == 0xFF else 2 + max(length, 2)
        raise BadInput("compressed image is a jpeg without a size")
    raise BadInput(
        f"compressed image (format {format[:60]!r}) starts with {head[:4].hex(' ') or 'nothing'}: neither jpeg nor png"
    )
