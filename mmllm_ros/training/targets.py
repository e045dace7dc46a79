# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training targets of the encoders: what each cell should predict, from the truth of a scene."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..angles import wrapped
from ..encoders import CameraEncoder, LidarEncoder
from ..encoders.proposals import CLASSES, COLOURS, STATUSES
from ..rig import CameraMount
from ..simulator.truth import EgoMotion, SceneObject, SceneTruth

ABSENT = -1
MIN_PIXELS, MIN_LIGHT_PIXELS, MIN_RETURNS = 8, 2, 4
"""Least pixels of an object, pixels of a traffic light, and lidar returns, after weather, for a target."""


@dataclass(frozen=True, slots=True)
class CellTargets:
    """One row per cell with an object: its attributes (`ABSENT` where one does not apply) and its position relative to the cell.

    `centre` marks the one cell of each object that contains the object's centre; `place` [n, 2] is the target of the encoder's
    position output.
    """

    cell: np.ndarray
    centre: np.ndarray
    kind: np.ndarray
    status: np.ndarray
    colour: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[tuple]) -> CellTargets:
        """From (cell, centre, category, status, colour, place) each."""
        return cls(
            cell=np.array([row[0] for row in rows], dtype=np.int64),
            centre=np.array([row[1] for row in rows], dtype=bool),
            kind=np.array([label_of(CLASSES, row[2]) for row in rows], dtype=np.int64),
            status=np.array([label_of(STATUSES, row[3]) for row in rows], dtype=np.int64),
            colour=np.array([label_of(COLOURS, row[4]) for row in rows], dtype=np.int64),
            place=np.array([row[5] for row in rows], dtype=np.float32).reshape(-1, 2),
        )

    def labels(self, group: str) -> np.ndarray:
        """What a group of DISTRIBUTIONS is in each row, ABSENT where it has none."""
        return {"class": self.kind, "status": self.status, "colour": self.colour}[group]

    def at_centres(self, group: str) -> tuple[np.ndarray, np.ndarray]:
        """The centre cells of the objects that have a label of `group`, and their labels."""
        labelled = self.centre & (self.labels(group) != ABSENT)
        return self.cell[labelled], self.labels(group)[labelled]


def label_of(names: tuple[str, ...], name: str) -> int:
    """The index of `name` in `names`, ABSENT where it is not among them."""
    return names.index(name) if name in names else ABSENT


@dataclass(frozen=True, slots=True)
class _VisibleObject:
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


def cell_targets(truth: SceneTruth, encoder: CameraEncoder | LidarEncoder) -> list[CellTargets]:
    """Targets of `encoder` for one frame: one per camera view of its rig, or one for the sweep."""
    if isinstance(encoder, LidarEncoder):
        return [lidar_targets(truth, encoder.side, np.eye(2))]
    shape = encoder.rows, encoder.columns, encoder.size[0] / encoder.size[1]
    return [camera_targets(truth, mount, *shape) for mount in encoder.rig.cameras]


def camera_targets(truth: SceneTruth, mount: CameraMount, rows: int, columns: int, aspect: float) -> CellTargets:
    """Objects and the traffic light in one view; `aspect` is image height over width. Bearings relative to the mount's."""
    visible = _boxes([o for o in truth.objects if o.clear_pixels.get(mount.name, 0) >= MIN_PIXELS], mount.position)
    light = truth.traffic_light
    if light and light.clear_pixels.get(mount.name, 0) >= MIN_LIGHT_PIXELS:
        visible.append(_VisibleObject((f"{light.state} light", "", ""), tuple(np.subtract(light.position, mount.position))))
    half = math.tan(mount.fov / 2)
    centres = np.arctan(half * (1 - (2 * np.arange(columns) + 1) / columns))

    def across(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bearing = wrapped(np.arctan2(points[:, 1], points[:, 0]) - mount.bearing)
        elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])) + mount.pitch
        side = np.tan(bearing.clip(-1.5, 1.5)) / half
        down = np.tan(elevation) / np.maximum(np.cos(bearing), 0.05) / (half * aspect)
        return bearing, (1 - side) / 2 * columns, (1 - down) / 2 * rows

    return _cells(visible, across, rows, columns, centres)


def lidar_targets(truth: SceneTruth, side: int, view: np.ndarray) -> CellTargets:
    """Objects in one sweep visible from above, on a map of `side` x `side` cells of 1 m, transformed by `view` [2, 2].

    The eight cells around an object's centre cell are its, too.
    """
    taken: dict[int, tuple] = {}
    for item in (o for o in truth.objects if o.clear_returns >= MIN_RETURNS):
        x, y = view @ np.array(item.position[:2]) + side / 2
        row, column = math.floor(x), math.floor(y)
        for cell_row, cell_column in sorted(_around(row, column), key=lambda cell: cell != (row, column)):
            if 0 <= cell_row < side and 0 <= cell_column < side:
                cell, middle = cell_row * side + cell_column, (cell_row, cell_column) == (row, column)
                place = (x - cell_row - 0.5, y - cell_column - 0.5)
                if middle or cell not in taken:
                    taken[cell] = (cell, middle, item.category, item.status, "", place)
    return CellTargets.of(list(taken.values()))


def _around(row: int, column: int) -> list[tuple[int, int]]:
    return [(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def _boxes(objects: Sequence[SceneObject], origin: tuple[float, float, float]) -> list[_VisibleObject]:
    return [
        _VisibleObject((o.category, o.status, o.colour), tuple(np.subtract(o.position, origin)), o.size, o.yaw) for o in objects
    ]


def _cells(visible: Sequence[_VisibleObject], across: Callable, rows: int, columns: int, centres: np.ndarray) -> CellTargets:
    """Every cell that an object covers and no nearer one does; the cell of its centre first."""
    taken: dict[int, tuple] = {}
    for item in sorted(visible, key=lambda item: math.hypot(*item.position[:2])):
        bearing, column, row = across(item.corners())
        middle = int(np.clip(row[0], 0, rows - 1)) * columns + int(np.clip(math.floor(column[0]), 0, columns - 1))
        box = [
            r * columns + c
            for r in range(int(np.clip(row.min(), 0, rows - 1)), int(np.clip(row.max(), 0, rows - 1)) + 1)
            for c in range(max(0, math.floor(column.min())), min(columns - 1, math.floor(column.max())) + 1)
        ]
        log_range = math.log(max(math.hypot(*item.position[:2]), 0.5))
        for cell in dict.fromkeys([middle, *(box if np.ptp(column) < columns / 2 else [])]):
            taken.setdefault(cell, (cell, cell == middle, *item.names, (bearing[0] - centres[cell % columns], log_range)))
    return CellTargets.of(list(taken.values()))


def ego_targets(ego: EgoMotion) -> tuple[float, float, float]:
    """Speed, yaw rate and acceleration, each scaled to about one."""
    return ego.speed / 10.0, ego.yaw_rate / 0.2, ego.acceleration / 2.0
