# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Camera views -> tokens: a convolutional stem, a ViT per view, object and sector tokens with the bearing they look at."""

from __future__ import annotations

import math

import cv2
import torch
from torch import Tensor, nn

from ..datatypes import CameraFrame
from ..rig import Rig
from .blocks import Convolution, Residual
from .grid import GridEncoder


class CameraEncoder(GridEncoder):
    """Encodes each view with the view half a second before it, all views of a batch at once.

    Works for any rig: a cell knows its ray (bearing, elevation in the base frame of the mount), not its pixel. Images of
    any size are cropped about their centre to the training aspect ratio and scaled.

    Args:
        rig: mounts of the cameras, by source name.
        width, depth, heads: of the transformer.
        objects, sectors: tokens per view.
        size: height and width in pixels that the weights were trained for; multiples of 16 and 8.
    """

    modality = "camera"
    circular = False
    waves = 4

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
        stem = nn.Sequential(
            Convolution(6, 24, (2, 2)),
            Convolution(24, 48, (2, 2)),
            Residual(48),
            Convolution(48, 96, (2, 2)),
            Residual(96),
            Convolution(96, width, (2, 1)),
        )
        super().__init__(rig, stem, 8, width=width, depth=depth, heads=heads, objects=objects, sectors=sectors, size=size)

    def sense(self, frame: CameraFrame) -> Tensor:
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

    def channels(self, batch: dict[str, Tensor]) -> Tensor:
        return torch.cat([batch["now"], batch["before"]], dim=1).float().sub_(110.0).div_(60.0)

    def angles(self, bearings: Tensor, elevations: Tensor, mount: Tensor) -> Tensor:
        return torch.stack([bearings - mount[:, :1], elevations], dim=-1) * 2.0

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        values, places = super().forward(batch)
        return values, self._from_base(places, batch["mount"])

    def rays(self, mount: Tensor) -> tuple[Tensor, Tensor]:
        """As a pinhole of the mount's field of view sees them."""
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
        bearing = torch.where(known, torch.atan2(y, x), torch.remainder(bearing + math.pi, 2 * math.pi) - math.pi)
        return torch.stack([bearing, elevation, torch.where(known, torch.hypot(x, y), distance)], dim=-1)
