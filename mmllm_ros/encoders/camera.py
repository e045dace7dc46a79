# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera views -> tokens: a convolutional stem, a ViT per view, object and sector tokens with their bearings."""

from __future__ import annotations

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..angles import wrapped
from ..datatypes import CameraFrame
from ..rig import Rig
from .base import Encoder
from .blocks import Convolution, Residual, TransformerBlock, harmonics
from .proposals import ATTRIBUTES, Proposals

ROWS_PER_CELL, COLUMNS_PER_CELL = 16, 8
WAVES = 4


class CameraEncoder(Encoder):
    """Encodes each view with the view half a second before it, all views of a batch at once.

    Works for any rig: the position input of a cell is its ray (bearing, elevation), not its pixel. Images of any size are cropped
    around their centre to the training aspect ratio and scaled.

    Args:
        rig: mounts of the cameras, by source name.
        width, depth, heads: of the transformer.
        objects, sectors: tokens per view.
        size: height and width in pixels that the weights were trained for; multiples of 16 and 8.
    """

    modality = "camera"
    predicted_attributes = ATTRIBUTES
    place_scale = (5.0, 2.0)
    """Loss weights of the two numbers of a place: bearing offset [rad], natural logarithm of the range [m]."""

    def __init__(
        self,
        rig: Rig,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        objects: int = 8,
        sectors: int = 2,
        size: tuple[int, int] = (80, 160),
    ) -> None:
        shape = {"width": width, "depth": depth, "heads": heads, "objects": objects, "sectors": sectors, "size": list(size)}
        super().__init__(rig, {"modality": self.modality, **shape})
        self.size = tuple(size)
        self.rows, self.columns = size[0] // ROWS_PER_CELL, size[1] // COLUMNS_PER_CELL
        self.stem = nn.Sequential(
            Convolution(6, 24, (2, 2)),
            Convolution(24, 48, (2, 2)),
            Residual(48),
            Convolution(48, 96, (2, 2)),
            Residual(96),
            Convolution(96, width, (2, 1)),
        )
        self.ray = nn.Linear(2 * 2 * WAVES + 1, width)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.proposals = Proposals(width, objects, sectors)

    @property
    def token_width(self) -> int:
        return self.config["width"] + self.predicted_attributes

    def to_tensor(self, frame: CameraFrame) -> Tensor:
        """The view as uint8 [3, h, w] at the training size."""
        height, width = self.size
        image = frame.image
        rows, columns = image.shape[:2]
        kept = min(rows, max(1, round(columns * height / width)))
        top = (rows - kept) // 2
        image = cv2.resize(image[top : top + kept], (width, height), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(image).permute(2, 0, 1).contiguous()

    def prepare(self, newest: CameraFrame, previous: CameraFrame | None) -> dict[str, Tensor]:
        mount = self.rig.camera(newest.source)
        numbers = [mount.bearing, mount.fov, mount.pitch, *mount.position]
        return {**super().prepare(newest, previous), "mount": torch.tensor(numbers, dtype=torch.float32)}

    def cells(self, batch: dict[str, Tensor]) -> Tensor:
        """Features [B, C, width] of the cells, row by row."""
        pictures = torch.cat([batch["now"], batch["before"]], dim=1).float().sub_(110.0).div_(60.0)
        grid = self.stem(pictures).flatten(2).transpose(1, 2)
        bearings, elevations = self.rays(batch["mount"])
        angles = torch.stack([bearings - batch["mount"][:, :1], elevations], dim=-1) * 2.0
        gap = batch["gap"].float()[:, None, None].expand(-1, grid.shape[1], -1)
        return self.blocks(grid + self.ray(torch.cat([harmonics(angles, WAVES), gap], dim=-1)))

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        bearings, elevations = self.rays(batch["mount"])
        sector = torch.arange(self.columns, device=bearings.device).repeat(self.rows) * self.proposals.sectors // self.columns

        def locate(place: Tensor) -> Tensor:
            offset, log_range = place.unbind(-1)
            return torch.stack([bearings + offset, elevations, log_range.clamp(-1.0, 4.5).exp()], dim=-1)

        values, places = self.proposals(self.cells(batch), bearings, sector, locate, self.local_maximum)
        return values, self._from_base(places, batch["mount"])

    def local_maximum(self, cells: Tensor) -> Tensor:
        """The maximum over each cell and its neighbours in the row: [B, C] -> [B, C]."""
        return functional.max_pool1d(cells.unflatten(1, (self.rows, self.columns)), 3, 1, 1).flatten(1)

    def rays(self, mount: Tensor) -> tuple[Tensor, Tensor]:
        """Bearings and elevations [B, C] of the cells, by the pinhole model of the mount's field of view [rad]."""
        device = mount.device
        half = (mount[:, 1] / 2).tan()[:, None, None]
        across = torch.linspace(1, -1, 2 * self.columns + 1, device=device)[1::2]
        down = torch.linspace(1, -1, 2 * self.rows + 1, device=device)[1::2] * self.size[0] / self.size[1]
        bearing = (half * across[None, None, :]).atan().expand(-1, self.rows, -1)
        elevation = ((half * down[None, :, None]) * bearing.cos()).atan()
        return (bearing + mount[:, 0, None, None]).flatten(1), (elevation - mount[:, 2, None, None]).flatten(1)

    @staticmethod
    def _from_base(places: Tensor, mount: Tensor) -> Tensor:
        """Move places from the camera's position to the base frame's origin; a range of 0 stays unknown."""
        bearing, elevation, distance = places.unbind(-1)
        x = distance * bearing.cos() + mount[:, 3, None]
        y = distance * bearing.sin() + mount[:, 4, None]
        known = distance > 0
        bearing = torch.where(known, torch.atan2(y, x), wrapped(bearing))
        return torch.stack([bearing, elevation, torch.where(known, torch.hypot(x, y), distance)], dim=-1)
