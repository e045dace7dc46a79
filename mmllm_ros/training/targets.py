# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the truth of a scene to what each cell of an encoder should read there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..encoders.proposals import CLASSES, COLOURS, STATUSES
from ..rig import CameraMount, LidarMount
from ..simulator.truth import EgoMotion, SceneTruth

ABSENT = -1
MIN_PIXELS, MIN_LIGHT_PIXELS, MIN_RETURNS = 8, 2, 4
"""What a sensor must still see of an object after weather, before its encoder is asked to find it."""


@dataclass(frozen=True, slots=True)
class CellTargets:
    """One row per object that the sensor sees: its cell, what it is (`ABSENT` where that does not apply) and where."""

    cell: np.ndarray
    kind: np.ndarray
    status: np.ndarray
    colour: np.ndarray
    offset: np.ndarray
    log_range: np.ndarray


def _index(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else ABSENT


def camera_targets(truth: SceneTruth, mount: CameraMount, rows: int, columns: int, aspect: float) -> CellTargets:
    """Objects and the traffic light in one view; `aspect` is image height over width. Bearings relative to the mount's."""
    seen = [
        (o.position, o.category, o.status, o.colour) for o in truth.objects if o.clear_pixels.get(mount.name, 0) >= MIN_PIXELS
    ]
    light = truth.traffic_light
    if light and light.clear_pixels.get(mount.name, 0) >= MIN_LIGHT_PIXELS:
        seen.append((light.position, f"{light.state} light", "", ""))
    half = math.tan(mount.fov / 2)
    items = []
    for position, category, status, colour in seen:
        x, y, z = (p - m for p, m in zip(position, mount.position, strict=True))
        bearing = math.remainder(math.atan2(y, x) - mount.bearing, 2 * math.pi)
        distance = math.hypot(x, y)
        elevation = math.atan2(z, distance) + mount.pitch
        across = math.tan(max(-1.5, min(1.5, bearing))) / half
        down = math.tan(elevation) / max(math.cos(bearing), 0.05) / (half * aspect)
        column = min(columns - 1, max(0, int((1 - across) / 2 * columns)))
        row = min(rows - 1, max(0, int((1 - down) / 2 * rows)))
        centre = math.atan(half * (1 - (2 * column + 1) / columns))
        items.append((distance, row * columns + column, category, status, colour, bearing - centre))
    return _nearest_first(items)


def lidar_targets(truth: SceneTruth, mount: LidarMount, rows: int, columns: int) -> CellTargets:
    """Objects in one sweep, by the azimuth and elevation of their centres."""
    items = []
    for o in truth.objects:
        if o.clear_returns < MIN_RETURNS:
            continue
        x, y, z = (p - m for p, m in zip(o.position, mount.position, strict=True))
        bearing, distance = math.atan2(y, x), math.hypot(x, y)
        elevation = math.atan2(z, distance)
        column = int((math.pi - bearing) / (2 * math.pi) * columns) % columns
        row = min(rows - 1, max(0, int((mount.fov_up - elevation) / (mount.fov_up - mount.fov_down) * rows)))
        centre = math.pi - (column + 0.5) / columns * 2 * math.pi
        base_distance = math.hypot(*o.position[:2])
        base_bearing = math.atan2(o.position[1], o.position[0])
        offset = math.remainder(base_bearing - centre, 2 * math.pi)
        items.append((base_distance, row * columns + column, o.category, o.status, "", offset))
    return _nearest_first(items)


def _nearest_first(items: list[tuple]) -> CellTargets:
    taken: dict[int, tuple] = {}
    for item in sorted(items):
        taken.setdefault(item[1], item)
    kept = list(taken.values())
    return CellTargets(
        cell=np.array([item[1] for item in kept], dtype=np.int64),
        kind=np.array([_index(CLASSES, item[2]) for item in kept], dtype=np.int64),
        status=np.array([_index(STATUSES, item[3]) for item in kept], dtype=np.int64),
        colour=np.array([_index(COLOURS, item[4]) for item in kept], dtype=np.int64),
        offset=np.array([item[5] for item in kept], dtype=np.float32),
        log_range=np.array([math.log(max(item[0], 0.5)) for item in kept], dtype=np.float32),
    )


def ego_targets(ego: EgoMotion) -> tuple[float, float, float]:
    """Speed, yaw rate and acceleration, each scaled to about one."""
    return ego.speed / 10.0, ego.yaw_rate / 0.2, ego.acceleration / 2.0
