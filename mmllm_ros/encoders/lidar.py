# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lidar sweeps -> tokens: a range image that keeps its azimuth, a ViT over it, object and sector tokens."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..datatypes import LidarScan
from ..rig import LidarMount, Rig
from .blocks import Convolution, Residual
from .grid import GridEncoder


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
    seen = (row >= 0) & (row < rows) & (distance > 0.5)
    order = np.argsort(-distance[seen], kind="stable")
    place = row[seen][order], column[seen][order]
    for channel, numbers in enumerate((distance, z, intensity)):
        image[channel][place] = numbers[seen][order]
    return image


class LidarEncoder(GridEncoder):
    """Encodes a sweep with the sweep half a second before it.

    Args:
        rig: mount of the lidar; its vertical field of view sets the rows.
        width, depth, heads: of the transformer.
        objects, sectors: tokens per sweep.
        size: rows and columns of the range image; multiples of 16 and 4.
    """

    modality = "lidar"
    circular = True
    waves = 8
    inputs: ClassVar[int] = 8

    def __init__(
        self,
        rig: Rig,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        objects: int = 24,
        sectors: int = 12,
        size: tuple[int, int] = (32, 480),
    ) -> None:
        stem = nn.Sequential(
            Convolution(self.inputs, 32, (2, 2), circular=True),
            Convolution(32, 64, (2, 2), circular=True),
            Residual(64, circular=True),
            Convolution(64, 128, (2, 1), circular=True),
            Convolution(128, width, (2, 1), circular=True),
        )
        super().__init__(rig, stem, 4, width=width, depth=depth, heads=heads, objects=objects, sectors=sectors, size=size)

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

    def channels(self, batch: dict[str, Tensor]) -> Tensor:
        height = batch["mount"][:, 4, None, None, None]
        return torch.cat([self._channels(batch["now"], height), self._channels(batch["before"], height)], dim=1)

    def angles(self, bearings: Tensor, elevations: Tensor, mount: Tensor) -> Tensor:
        return torch.stack([bearings, elevations], dim=-1)

    @staticmethod
    def _channels(image: Tensor, height: Tensor) -> Tensor:
        """Nearness, height over ground, intensity and presence, each about in [-1, 1]: [B, 4, rows, columns]."""
        distance, z, intensity = image.float().split(1, dim=1)
        present = (distance > 0).float()
        return torch.cat([present * 8.0 / (distance + 4.0), present * (z + height) / 2.0, intensity, present], dim=1)

    def rays(self, mount: Tensor) -> tuple[Tensor, Tensor]:
        batch, device = mount.shape[0], mount.device
        bearing = torch.linspace(math.pi, -math.pi, 2 * self.columns + 1, device=device)[1::2]
        share = torch.linspace(0, 1, 2 * self.rows + 1, device=device)[1::2]
        elevation = mount[:, :1] + (mount[:, 1:2] - mount[:, :1]) * share
        return bearing.repeat(self.rows).expand(batch, -1), elevation.repeat_interleave(self.columns, dim=1)
