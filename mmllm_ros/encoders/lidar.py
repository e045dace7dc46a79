# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lidar sweeps -> tokens: a range image, its map from above, convolutions, object and sector tokens."""

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
from .scan_matching import FASTEST, SHARPEST, Sweeps, match


def range_image(points: np.ndarray, rows: int, columns: int, fov_up: float, fov_down: float) -> np.ndarray:
    """Spherical projection, nearest return wins: points float32 [n, 4] -> float16 [3, rows, columns].

    Channels: range [m] (0 where nothing came back), height over the sensor [m], intensity. Row 0 looks up most;
    column 0 starts at bearing +pi and bearings fall to the right, as in a picture.
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
    """Encodes a sweep with the sweep half a second before it, both seen from above (birds_eye.py).

    The older sweep is laid onto the newer by scan matching, so what then still differs moves by itself. Convolutions at one, two
    and four metres read the map; each square metre is a cell, as in CenterPoint (arXiv 2006.11275).

    Args:
        rig: mount of the lidar; its vertical field of view sets the rows of the range image.
        width: features of a cell.
        objects, sectors: tokens per sweep.
        size: rows and columns of the range image.
    """

    modality = "lidar"
    readouts = ATTRIBUTES
    place_scale = (1.0, 1.0)
    """How much an error in the two numbers of a place counts: forward and left of the cell's middle [m]."""
    side = SIDE // 2
    """Cells along each side of the map, one metre each."""

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
        self.told = nn.Linear(4, width)
        self.proposals = Proposals(width, objects, sectors, unread=("colour",))

    @property
    def token_width(self) -> int:
        return self.config["width"] + self.readouts

    @property
    def mount(self) -> LidarMount:
        return self.rig.lidar or LidarMount()

    def sense(self, frame: LidarScan) -> Tensor:
        """The sweep as a float16 range image [3, rows, columns]."""
        mount = self.mount
        return torch.from_numpy(range_image(frame.points, *self.size, mount.fov_up, mount.fov_down))

    def prepare(self, newest: LidarScan, previous: LidarScan | None) -> dict[str, Tensor]:
        mount = self.mount
        numbers = [mount.fov_up, mount.fov_down, *mount.position]
        return {**super().prepare(newest, previous), "mount": torch.tensor(numbers, dtype=torch.float32)}

    def cells(self, batch: dict[str, Tensor]) -> Tensor:
        """Features [B, C, width] of the cells, from the back forward and in each row from right to left.

        A `view` [B, 2, 2] in the batch turns or mirrors the scene; a `motion` [B, 3] is what `motion` finds, where that is known.
        """
        mount = batch["mount"]
        now, before = _sweeps(batch)
        motion = batch["motion"] if "motion" in batch else _motion(now, before, mount)
        near = self.near(birds_eye(now, before, motion[:, :2], batch["now"][:, 2].float(), mount, batch.get("view")))
        middle = self.middle(near)
        wide = self.from_middle(middle) + functional.interpolate(self.from_far(self.far(middle)), scale_factor=2.0)
        features = self.joined(functional.gelu(self.from_near(near) + functional.interpolate(wide, scale_factor=2.0)))
        told = torch.cat([motion / motion.new_tensor([FASTEST, SHARPEST, 1.0]), batch["gap"].float()[:, None]], dim=1)
        return features.flatten(2).transpose(1, 2) + self.told(told)[:, None]

    @staticmethod
    def motion(batch: dict[str, Tensor]) -> Tensor:
        """How the vehicle moved between the sweeps: forward [m], yaw [rad], and how well that fits them, 0 to 1: [B, 3]."""
        return _motion(*_sweeps(batch), batch["mount"])

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        cells = self.cells(batch)
        x, y = self.middles(cells.device)
        bearings = torch.atan2(y, x).expand(len(cells), -1)

        def locate(place: Tensor) -> Tensor:
            return bearings_and_ranges(x + place[..., 0], y + place[..., 1])

        return self.proposals(cells, bearings, sector_numbers(x, y, self.proposals.sectors), locate, self.strongest)

    def middles(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Forward and left of the middle of each cell, [C] each [m]."""
        middle = torch.linspace(-REACH, REACH, 2 * self.side + 1, device=device)[1::2]
        return middle.repeat_interleave(self.side), middle.repeat(self.side)

    def strongest(self, cells: Tensor) -> Tensor:
        """The largest number of each cell and the eight around it: [B, C] -> [B, C]."""
        return functional.max_pool2d(cells.unflatten(1, (self.side, self.side)), 3, 1, 1).flatten(1)


def _sweeps(batch: dict[str, Tensor]) -> tuple[Sweeps, Sweeps]:
    """The newer and the older one."""
    return Sweeps.of(batch["now"], batch["mount"]), Sweeps.of(batch["before"], batch["mount"])


def _motion(now: Sweeps, before: Sweeps, mount: Tensor) -> Tensor:
    found, fit = match(now, before, mount[:, 4])
    return torch.cat([found, fit[:, None]], dim=1)
