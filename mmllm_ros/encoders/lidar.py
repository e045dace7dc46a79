# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lidar sweeps -> tokens: a range image, its bird's-eye map, convolutions, object and sector tokens."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..datatypes import LidarScan
from ..rig import LidarMount, Rig
from .base import Encoder
from .birds_eye import CHANNELS, REACH, SIDE, bearings_and_ranges, birds_eye, sector_numbers
from .blocks import Convolution, Residual
from .proposals import ATTRIBUTES, Proposals
from .scan_matching import MAX_FORWARD, MAX_YAW, Sweeps, match


def range_image(points: np.ndarray, rows: int, columns: int, fov_up: float, fov_down: float) -> np.ndarray:
    """Spherical projection that keeps the nearest return of a cell: points float32 [n, 4] -> float16 [3, rows, columns].

    Channels: range [m] (0 without a return), height over the sensor [m], intensity. Row 0 has the largest elevation; column 0
    starts at bearing +pi and bearings decrease to the right.
    """
    image = np.zeros((3, rows, columns), dtype=np.float16)
    x, y, z, intensity = points.T
    distance = np.sqrt(x * x + y * y + z * z)
    elevation = np.arcsin(np.clip(z / np.maximum(distance, 1e-6), -1, 1))
    row = np.floor((fov_up - elevation) / (fov_up - fov_down) * rows).astype(np.int64)
    column = np.floor((math.pi - np.arctan2(y, x)) / (2 * math.pi) * columns).astype(np.int64) % columns
    seen = ((row >= 0) & (row < rows) & (distance > 0.5)).nonzero()[0]
    cell, away = (row * columns + column)[seen], distance[seen]
    nearest = np.full(rows * columns, np.inf, away.dtype)
    np.minimum.at(nearest, cell, away)
    first = away == nearest[cell]
    cell, seen = cell[first], seen[first]
    for channel, numbers in zip(image.reshape(3, -1), (distance, z, intensity), strict=True):
        channel[cell] = numbers[seen]
    return image


class LidarEncoder(Encoder):
    """Encodes a sweep with the sweep half a second before it as a bird's-eye map (birds_eye.py).

    Scan matching aligns the older sweep with the newer; the remaining differences are moving objects. Convolutions at one, two
    and four metres read the map; each square metre is a cell, as in CenterPoint (arXiv 2006.11275).

    Args:
        rig: mount of the lidar; its vertical field of view sets the rows of the range image.
        width: features of a cell.
        objects, sectors: tokens per sweep.
        size: rows and columns of the range image.
    """

    modality = "lidar"
    predicted_attributes = ATTRIBUTES
    place_scale = (1.0, 1.0)
    """Loss weights of the two numbers of a place: forward and left of the cell's centre [m]."""
    side = SIDE // 2
    """Cells along each side of the map, of one metre each."""

    def __init__(
        self, rig: Rig, width: int = 64, objects: int = 28, sectors: int = 12, size: tuple[int, int] = (32, 1024)
    ) -> None:
        shape = {"width": width, "objects": objects, "sectors": sectors, "size": list(size)}
        super().__init__(rig, {"modality": self.modality, **shape})
        self.size = tuple(size)
        self.near = nn.Sequential(Convolution(CHANNELS, 32, (2, 2)), Residual(32), Residual(32))
        self.middle = nn.Sequential(Convolution(32, 64, (2, 2)), Residual(64), Residual(64))
        self.far = nn.Sequential(Convolution(64, 96, (2, 2)), Residual(96), Residual(96))
        self.from_near, self.from_middle, self.from_far = (nn.Conv2d(inputs, 48, 1) for inputs in (32, 64, 96))
        self.joined = nn.Conv2d(48, width, 1)
        self.told = nn.Linear(4, width)  # of motion and gap; the name is a key of the shipped weights
        self.proposals = Proposals(width, objects, sectors, unobservable=("colour",))

    @property
    def token_width(self) -> int:
        return self.config["width"] + self.predicted_attributes

    @property
    def mount(self) -> LidarMount:
        return self.rig.lidar or LidarMount()

    def to_tensor(self, frame: LidarScan) -> Tensor:
        """The sweep as a float16 range image [3, rows, columns]."""
        mount = self.mount
        return torch.from_numpy(range_image(frame.points, *self.size, mount.fov_up, mount.fov_down))

    def prepare(self, newest: LidarScan, previous: LidarScan | None) -> dict[str, Tensor]:
        mount = self.mount
        numbers = [mount.fov_up, mount.fov_down, *mount.position]
        return {**super().prepare(newest, previous), "mount": torch.tensor(numbers, dtype=torch.float32)}

    def cells(self, batch: dict[str, Tensor]) -> Tensor:
        """Features [B, C, width] of the cells, ordered from back to front and in each row from right to left.

        A `view` [B, 2, 2] in the batch rotates or mirrors the scene; a `motion` [B, 3] replaces the result of `motion`.
        """
        mount = batch["mount"]
        now, before = _sweeps(batch)
        motion = batch["motion"] if "motion" in batch else _motion(now, before, mount)
        near = self.near(birds_eye(now, before, motion[:, :2], batch["now"][:, 2].float(), mount, batch.get("view")))
        middle = self.middle(near)
        wide = self.from_middle(middle) + functional.interpolate(self.from_far(self.far(middle)), scale_factor=2.0)
        features = self.joined(functional.gelu(self.from_near(near) + functional.interpolate(wide, scale_factor=2.0)))
        inputs = torch.cat([motion / motion.new_tensor([MAX_FORWARD, MAX_YAW, 1.0]), batch["gap"].float()[:, None]], dim=1)
        return features.flatten(2).transpose(1, 2) + self.told(inputs)[:, None]

    @staticmethod
    def motion(batch: dict[str, Tensor]) -> Tensor:
        """Motion of the vehicle between the sweeps, [B, 3]: forward [m], yaw [rad], and the fit of the match, 0 to 1."""
        return _motion(*_sweeps(batch), batch["mount"])

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        cells = self.cells(batch)
        x, y = self.middles(cells.device)
        bearings = torch.atan2(y, x).expand(len(cells), -1)

        def locate(place: Tensor) -> Tensor:
            return bearings_and_ranges(x + place[..., 0], y + place[..., 1])

        return self.proposals(cells, bearings, sector_numbers(x, y, self.proposals.sectors), locate, self.local_maximum)

    def middles(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """x (forward) and y (left) of the centre of each cell, [C] each [m]."""
        middle = torch.linspace(-REACH, REACH, 2 * self.side + 1, device=device)[1::2]
        return middle.repeat_interleave(self.side), middle.repeat(self.side)

    def local_maximum(self, cells: Tensor) -> Tensor:
        """The maximum over each cell and its eight neighbours: [B, C] -> [B, C]."""
        return functional.max_pool2d(cells.unflatten(1, (self.side, self.side)), 3, 1, 1).flatten(1)


def _sweeps(batch: dict[str, Tensor]) -> tuple[Sweeps, Sweeps]:
    """The newer and the older sweep."""
    return Sweeps.of(batch["now"], batch["mount"]), Sweeps.of(batch["before"], batch["mount"])


def _motion(now: Sweeps, before: Sweeps, mount: Tensor) -> Tensor:
    found, fit = match(now, before, mount[:, 4])
    return torch.cat([found, fit[:, None]], dim=1)
