# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What camera and lidar encoders share: a grid of cells that know their ray, a ViT over them, tokens for objects and sectors."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..rig import Rig
from .base import Encoder
from .blocks import TransformerBlock, harmonics
from .proposals import ATTRIBUTES, Proposals

ROWS_PER_CELL = 16


class GridEncoder(Encoder):
    """Encodes a picture, or what can be laid out as one, with the picture half a second before it.

    Args:
        rig: where the sensors look.
        stem: convolutions from the channels of both pictures to the cells.
        columns_per_cell: picture columns that become one cell, ROWS_PER_CELL rows always do.
        shape: width, depth and heads of the transformer; objects and sectors, the tokens per frame; size, rows and columns of
            the picture.
    """

    circular: ClassVar[bool]
    waves: ClassVar[int]
    told: ClassVar[int] = 1

    def __init__(self, rig: Rig, stem: nn.Module, columns_per_cell: int, **shape) -> None:
        super().__init__(rig, {"modality": self.modality, **shape, "size": list(shape["size"])})
        width, heads = shape["width"], shape["heads"]
        self.size = tuple(shape["size"])
        self.rows, self.columns = self.size[0] // ROWS_PER_CELL, self.size[1] // columns_per_cell
        self.stem = stem
        self.ray = nn.Linear(2 * 2 * self.waves + self.told, width)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(shape["depth"])))
        self.proposals = Proposals(width, shape["objects"], shape["sectors"], self.columns, self.circular)

    @property
    def token_width(self) -> int:
        return self.config["width"] + ATTRIBUTES

    @abstractmethod
    def channels(self, batch: dict[str, Tensor]) -> Tensor:
        """Both pictures as the stem takes them: [B, channels, rows, columns]."""

    @abstractmethod
    def rays(self, mount: Tensor) -> tuple[Tensor, Tensor]:
        """Bearing and elevation [rad] of each cell's centre in the base frame: [B, C] each, row by row."""

    @abstractmethod
    def angles(self, bearings: Tensor, elevations: Tensor, mount: Tensor) -> Tensor:
        """What a cell is told of its ray: two angles, [B, C, 2]."""

    def extras(self, batch: dict[str, Tensor]) -> Tensor:
        """What every cell is told of both pictures, [B, told]: the time between them [s]."""
        return batch["gap"].float()[:, None]

    def cells(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Features [B, C, width] of the cells, with their bearings and elevations [B, C]."""
        grid = self.stem(self.channels(batch)).flatten(2).transpose(1, 2)
        bearings, elevations = self.rays(batch["mount"])
        told = self.extras(batch)[:, None].expand(-1, grid.shape[1], -1)
        where = torch.cat([harmonics(self.angles(bearings, elevations, batch["mount"]), self.waves), told], dim=-1)
        return self.blocks(grid + self.ray(where)), bearings, elevations

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.proposals(*self.cells(batch))
