# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A lidar encoder that takes its own motion out of the older sweep: what then still differs moves by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from ..rig import Rig
from .lidar import LidarEncoder
from .scan_matching import FASTEST, SHARPEST, Sweeps, match, seen_from


class AlignedLidarEncoder(LidarEncoder):
    """A `LidarEncoder` that sees the older sweep from where the newer was taken, and is told how far the vehicle moved.

    In a training configuration: `encoders: {lidar: {kind: aligned lidar}}`. The arguments are `LidarEncoder`'s.
    """

    inputs = 7
    told = 4

    def __init__(self, rig: Rig, **shape) -> None:
        super().__init__(rig, **shape)
        self.config["kind"] = "aligned lidar"

    def cells(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        now, before = (Sweeps.of(batch[name], batch["mount"]) for name in ("now", "before"))
        motion, fit = match(now, before, batch["mount"][:, 4])
        told = torch.cat([super().extras(batch), motion / motion.new_tensor([FASTEST, SHARPEST]), fit[:, None]], dim=1)
        return super().cells({**batch, "reach": now.reach, "moved": seen_from(now, before, motion), "told": told})

    def extras(self, batch: dict[str, Tensor]) -> Tensor:
        """The time between the sweeps [s], the motion in shares of the largest, and how well it fits."""
        return batch["told"]

    def channels(self, batch: dict[str, Tensor]) -> Tensor:
        """The newer sweep as in a `LidarEncoder`; of the older one nearness, presence, and what came nearer since [m]."""
        moved = batch["moved"][:, None]
        now = self._channels(batch["now"], batch["mount"][:, 4, None, None, None])
        there = (moved > 0).float()
        nearer = now[:, 3:] * there * (moved - batch["reach"][:, None]).clamp(-1.0, 1.0)
        return torch.cat([now, there * 8.0 / (moved + 4.0), there, nearer], dim=1)
