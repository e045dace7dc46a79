# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""IMU windows -> tokens: resampling to a fixed grid, 1-D convolutions, a small transformer."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ..datatypes import GRAVITY, NANOSECONDS, BadInput, ImuMounting, ImuWindow
from ..rig import Rig
from .base import Encoder
from .blocks import TransformerBlock

WINDOW = NANOSECONDS
"""The encoder uses the last second [ns]."""

REST = np.array([0.0, 0.0, GRAVITY, 0.0, 0.0, 0.0])
"""A sample of a level IMU at rest."""

SCALE = (2.0, 2.0, 2.0, 0.3, 0.3, 0.3)


def reported(samples: np.ndarray) -> np.ndarray:
    """Samples float32 [n, 6] with NaN replaced: by the mean of its axis, or by what it reads at rest."""
    missing = np.isnan(samples)
    if not missing.any():
        return samples
    count = (~missing).sum(axis=0)
    means = np.where(missing, 0.0, samples).sum(axis=0) / np.maximum(count, 1)
    return np.where(missing, np.where(count > 0, means, REST), samples)


def level(samples: np.ndarray, mounting: ImuMounting | None) -> np.ndarray:
    """Samples [n, 6] as a level and unbiased IMU would read them; the same array where the mounting has no error."""
    if mounting is None or mounting == ImuMounting(known=mounting.known):
        return samples
    x, y, z = mounting.up
    c, s = math.cos(mounting.yaw), math.sin(mounting.yaw)
    # The smallest rotation that takes `up` to the vertical, then the yaw.
    upright = np.array([[1 - x * x / (1 + z), -x * y / (1 + z), -x], [-x * y / (1 + z), 1 - y * y / (1 + z), -y], [x, y, z]])
    turn = (np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ upright).T
    force = samples[:, :3] - mounting.force * np.array(mounting.up)
    return np.concatenate([force @ turn, (samples[:, 3:] - np.array(mounting.rates)) @ turn], axis=1)


class ImuEncoder(Encoder):
    """Encodes the last second of one IMU, sampled at any rate.

    Args:
        rig: not used; the frames already have REP-103 axes.
        width, depth, heads: of the transformer.
        samples: points of the time grid; a multiple of 16.
    """

    modality = "imu"

    def __init__(self, rig: Rig, width: int = 64, depth: int = 2, heads: int = 4, samples: int = 64) -> None:
        shape = {"width": width, "depth": depth, "heads": heads, "samples": samples}
        super().__init__(rig, {"modality": self.modality, **shape})
        self.samples = samples
        self.stem = nn.Sequential(
            nn.Conv1d(13, width, 7, 4, 3),
            nn.GELU(),
            nn.Conv1d(width, width, 5, 4, 2),
            nn.GELU(),
            nn.Conv1d(width, width, 3, 1, 1),
        )
        self.position = nn.Parameter(torch.zeros(samples // 16, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.ego = nn.Linear(width, 3)

    @property
    def token_width(self) -> int:
        return self.config["width"] + 3

    def to_tensor(self, frame: ImuWindow) -> Tensor:
        """The last second as float32 [13, samples]: six means and six deviations by grid step, and how complete the window is.

        Raises BadInput for a window with fewer than two samples in the last second.
        """
        age = (frame.stamp - frame.times) / WINDOW
        inside = (age >= 0) & (age < 1)
        if np.count_nonzero(inside) < 2:
            raise BadInput(f"IMU window of {frame.source}: {np.count_nonzero(inside)} samples in the last second, 2 are needed")
        age, samples = age[inside], level(reported(frame.samples), frame.mounting)[inside]
        moments = np.linspace(1, 0, 2 * self.samples + 1)[1::2]
        means = np.stack([np.interp(-moments, -age, axis) for axis in samples.T])
        # Vibration is above the rate of the grid: its strength is kept as the deviation from the means.
        deviation = np.abs(samples - np.stack([np.interp(-age, -moments, axis) for axis in means]).T)
        spreads = np.stack([np.interp(-moments, -age, axis) for axis in deviation.T])
        full = np.full((1, self.samples), min(1.0, len(age) / self.samples))
        return torch.from_numpy(np.concatenate([means, spreads, full]).astype(np.float32))

    def prepare(self, newest: ImuWindow, previous: ImuWindow | None) -> dict[str, Tensor]:
        """`previous` is not used: the window contains its own past."""
        return {"now": self.to_tensor(newest)}

    def cells(self, batch: dict[str, Tensor]) -> Tensor:
        """Features [B, T, width] of the quarters of the window."""
        window = batch["now"].float()
        scale = window.new_tensor(SCALE)[:, None]
        gravity = window.new_tensor([0.0, 0.0, GRAVITY, 0.0, 0.0, 0.0])[:, None]
        inputs = torch.cat([(window[:, :6] - gravity) / scale, 4.0 * window[:, 6:12] / scale, window[:, 12:]], dim=1)
        return self.norm(self.blocks(self.stem(inputs).transpose(1, 2) + self.position))

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        features = self.cells(batch)
        values = torch.cat([features, self.ego(features.mean(1, keepdim=True)).expand(-1, features.shape[1], -1)], dim=-1)
        return values, values.new_zeros(*values.shape[:2], 3)
