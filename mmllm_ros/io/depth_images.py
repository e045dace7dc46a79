# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Depth images (REP-118) -> metres, and surface normals from depth."""

from __future__ import annotations

import math

import numpy as np

from ..datatypes import BadInput

ENCODINGS = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
"""Depth encodings: 16-bit millimetres, 0 = no reading, or 32-bit metres, not finite = no reading."""
NORMAL_ENCODING = "32FC3"
FARTHEST = 1000.0
"""Longer ranges [m] are no reading."""
EDGE = 0.08
"""Where the inverse depth bends by a larger share of itself from one pixel to the next, there is an edge."""


def decode_depth(data, height: int, width: int, encoding: str, step: int, big_endian: bool = False) -> np.ndarray:
    """The buffer of a depth image -> float32 [height, width], metres along the optical axis, 0 = no reading. Raises BadInput."""
    if encoding not in ENCODINGS:
        raise BadInput(f"depth encoding {encoding[:40]!r} is not one of {', '.join(sorted(ENCODINGS))} (REP-118)")
    raw = _rows(data, height, width, 1, ENCODINGS[encoding], step, big_endian)[..., 0]
    depth = raw.astype(np.float32) * np.float32(0.001 if raw.dtype.kind == "u" else 1.0)
    return np.where((depth > 0) & (depth < FARTHEST), depth, np.float32(0.0))  # NaN compares false


def decode_normals(data, height: int, width: int, encoding: str, step: int, big_endian: bool = False) -> np.ndarray:
    """The buffer of a 32FC3 image of normals in the optical frame (x right, y down, z forward) -> float32 [3, height, width].

    The result is in x forward, y left, z up, of length 1, all 0 where the message has none. Raises BadInput.
    """
    if encoding != NORMAL_ENCODING:
        raise BadInput(f"normals have the encoding {encoding[:40]!r}, not {NORMAL_ENCODING}")
    right, down, forward = np.moveaxis(_rows(data, height, width, 3, "f4", step, big_endian).astype(np.float32), 2, 0)
    return _unit(np.stack([forward, -right, -down]))


def normals_from_depth(depth: np.ndarray, fov: float) -> np.ndarray:
    """Surface normals float32 [3, h, w] of a depth image [h, w] with horizontal field of view `fov` [rad], towards the camera.

    x forward, y left, z up of the camera; from the differences to the neighbours, none across an edge; 0 = unknown.
    """
    height, width = depth.shape
    focal = width / 2 / math.tan(fov / 2)
    across = -(np.arange(width, dtype=np.float32) + 0.5 - width / 2) / focal
    up = -(np.arange(height, dtype=np.float32) + 0.5 - height / 2)[:, None] / focal
    points = np.stack([depth, depth * across, depth * up])
    along_row, row_known = _difference(points, 2)
    along_column, column_known = _difference(points, 1)
    normal = np.cross(along_row, along_column, axis=0)
    towards = (normal * points).sum(0)
    normal *= np.where(towards > 0, -1.0, 1.0) * (row_known & column_known)
    return _unit(normal.astype(np.float32))


def _difference(points: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences of the neighbours before and after along an image axis, and where the three lie on one surface."""
    before, after = np.roll(points, 1, axis), np.roll(points, -1, axis)
    known = np.minimum(np.minimum(before[0], after[0]), points[0]) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        # On a plane the inverse of the depth is linear in the pixel.
        bend = np.abs(points[0] / before[0] + points[0] / after[0] - 2.0)
    known &= bend < EDGE
    border = [slice(None), slice(None)]
    for end in (0, -1):
        border[axis - 1] = end
        known[tuple(border)] = False
    return after - before, known


def _unit(normal: np.ndarray) -> np.ndarray:
    length = np.sqrt((normal * normal).sum(0))
    usable = np.isfinite(length) & (length > 1e-9)
    return np.where(usable, normal / np.where(usable, length, 1.0), 0.0).astype(np.float32)


def _rows(data, height: int, width: int, channels: int, kind: str, step: int, big_endian: bool) -> np.ndarray:
    """A view [height, width, channels] of an image buffer. Raises BadInput."""
    if not (1 <= height <= 8192 and 1 <= width <= 8192):
        raise BadInput(f"depth image of {width}x{height} pixels: not between 1 and 8192 on a side")
    dtype = np.dtype(kind).newbyteorder(">" if big_endian else "<")
    row, given = width * channels * dtype.itemsize, memoryview(data).nbytes
    if step < row:
        raise BadInput(f"depth image step is {step} bytes, a row of {width} pixels takes {row}")
    if given < step * (height - 1) + row:
        raise BadInput(f"depth image data is {given} bytes, {height} rows of {step} bytes take {step * (height - 1) + row}")
    strides = (step, channels * dtype.itemsize, dtype.itemsize)
    return np.ndarray((height, width, channels), dtype, memoryview(data), 0, strides)
