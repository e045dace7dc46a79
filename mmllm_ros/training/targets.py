# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the truth of a scene to what each cell of an encoder should read there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..encoders.proposals import CLASSES, COLOURS, STATUSES
from ..rig import CameraMount, LidarMount
from ..simulator.truth import EgoMotion, SceneObject, SceneTruth

ABSENT = -1
MIN_PIXELS, MIN_LIGHT_PIXELS, MIN_RETURNS = 8, 2, 4
"""What a sensor must still see of an object after weather, before its encoder is asked to find it."""


@dataclass(frozen=True, slots=True)
class CellTargets:
    """One row per cell that shows an object: what it is (`ABSENT` where that does not apply) and where, from that cell.

    `centre` marks the one cell of each object in which the object's middle lies.
    """

    cell: np.ndarray
    centre: np.ndarray
    kind: np.ndarray
    status: np.ndarray
    colour: np.ndarray
    offset: np.ndarray
    log_range: np.ndarray


def _index(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else ABSENT


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a sensor sees: category, status, colour, and box in axes with the sensor as origin [m], yaw [rad]."""

    names: tuple[str, str, str]
    position: tuple[float, float, float]
    size: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw: float = 0.0

    def corners(self) -> np.ndarray:
        """The middle, then the eight corners: [9, 3]."""
        signs = np.array([(0, 0, 0), *itertools.product((-0.5, 0.5), repeat=3)]) * self.size
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        turned = np.stack([c * signs[:, 0] - s * signs[:, 1], s * signs[:, 0] + c * signs[:, 1], signs[:, 2]], 1)
        return turned + self.position


def camera_targets(truth: SceneTruth, mount: CameraMount, rows: int, columns: int, aspect: float) -> CellTargets:
    """Objects and the traffic light in one view; `aspect` is image height over width. Bearings relative to the mount's."""
    seen = _boxes([o for o in truth.objects if o.clear_pixels.get(mount.name, 0) >= MIN_PIXELS], mount.position, True)
    light = truth.traffic_light
    if light and light.clear_pixels.get(mount.name, 0) >= MIN_LIGHT_PIXELS:
        seen.append(_Seen((f"{light.state} light", "", ""), tuple(np.subtract(light.position, mount.position))))
    half = math.tan(mount.fov / 2)
    centres = np.arctan(half * (1 - (2 * np.arange(columns) + 1) / columns))

    def across(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bearing = np.remainder(np.arctan2(points[:, 1], points[:, 0]) - mount.bearing + math.pi, 2 * math.pi) - math.pi
        elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])) + mount.pitch
        side = np.tan(bearing.clip(-1.5, 1.5)) / half
        down = np.tan(elevation) / np.maximum(np.cos(bearing), 0.05) / (half * aspect)
        return bearing, (1 - side) / 2 * columns, (1 - down) / 2 * rows

    return _cells(seen, across, rows, columns, lambda item, bearing, column: (bearing - centres[column], item.position))


def lidar_targets(truth: SceneTruth, mount: LidarMount, rows: int, columns: int) -> CellTargets:
    """Objects in one sweep; offsets and ranges are from the base frame's origin, as places are."""
    seen = _boxes([o for o in truth.objects if o.clear_returns >= MIN_RETURNS], mount.position, False)
    centres = math.pi - (np.arange(columns) + 0.5) / columns * 2 * math.pi

    def across(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bearing = np.arctan2(points[:, 1], points[:, 0])
        elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
        # An object behind may straddle the seam: its columns run on beyond the last one.
        middle = (math.pi - bearing[0]) / (2 * math.pi) * columns
        column = middle - (np.remainder(bearing - bearing[0] + math.pi, 2 * math.pi) - math.pi) / (2 * math.pi) * columns
        return bearing, column, (mount.fov_up - elevation) / (mount.fov_up - mount.fov_down) * rows

    def place(item: _Seen, bearing: float, column: int) -> tuple[float, np.ndarray]:
        base = np.add(item.position, mount.position)
        return math.remainder(math.atan2(base[1], base[0]) - centres[column], 2 * math.pi), base

    return _cells(seen, across, rows, columns, place, circular=True)


def _boxes(objects: Sequence[SceneObject], origin: tuple[float, float, float], coloured: bool) -> list[_Seen]:
    return [
        _Seen((o.category, o.status, o.colour if coloured else ""), tuple(np.subtract(o.position, origin)), o.size, o.yaw)
        for o in objects
    ]


def _cells(
    seen: Sequence[_Seen], across: Callable, rows: int, columns: int, place: Callable, circular: bool = False
) -> CellTargets:
    """Every cell that an object covers, as far as no nearer one does: its middle's cell first."""
    taken: dict[int, tuple] = {}
    for item in sorted(seen, key=lambda item: math.hypot(*item.position[:2])):
        bearing, column, row = across(item.corners())
        middle = int(np.clip(row[0], 0, rows - 1)) * columns + _wrapped(column[0], columns, circular)
        box = [
            r * columns + _wrapped(c, columns, circular)
            for r in range(int(np.clip(row.min(), 0, rows - 1)), int(np.clip(row.max(), 0, rows - 1)) + 1)
            for c in range(math.floor(column.min()), math.floor(column.max()) + 1)
            if circular or 0 <= c < columns
        ]
        for cell in dict.fromkeys([middle, *(box if np.ptp(column) < columns / 2 else [])]):
            offset, position = place(item, bearing[0], cell % columns)
            taken.setdefault(cell, (cell, cell == middle, *item.names, offset, math.hypot(*position[:2])))
    kept = list(taken.values())
    return CellTargets(
        cell=np.array([item[0] for item in kept], dtype=np.int64),
        centre=np.array([item[1] for item in kept], dtype=bool),
        kind=np.array([_index(CLASSES, item[2]) for item in kept], dtype=np.int64),
        status=np.array([_index(STATUSES, item[3]) for item in kept], dtype=np.int64),
        colour=np.array([_index(COLOURS, item[4]) for item in kept], dtype=np.int64),
        offset=np.array([item[5] for item in kept], dtype=np.float32),
        log_range=np.array([math.log(max(item[6], 0.5)) for item in kept], dtype=np.float32),
    )


def _wrapped(column: float, columns: int, circular: bool) -> int:
    whole = math.floor(column)
    return whole % columns if circular else min(columns - 1, max(0, whole))


def ego_targets(ego: EgoMotion) -> tuple[float, float, float]:
    """Speed, yaw rate and acceleration, each scaled to about one."""
    return ego.speed / 10.0, ego.yaw_rate / 0.2, ego.acceleration / 2.0
