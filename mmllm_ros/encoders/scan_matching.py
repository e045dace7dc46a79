# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Estimates the motion of the vehicle between two sweeps by correlative scan matching (Olson 2009).

The motion is planar, forward and yaw. A coarse and a fine grid search maximize the overlap of the older sweep's standing points
with the newer sweep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_FORWARD, MAX_YAW = 8.0, 0.3
"""The largest motion between two sweeps in the search: forward [m] and yaw [rad]."""
POINTS, COARSE_POINTS = 384, 128
"""Number of points of the older sweep in the fine and in the coarse search."""
LEAST_HEIGHT, LARGEST_RANGE = 0.4, 35.0
"""Points that are matched: their least height over the ground and largest range [m]."""
COARSE, FINE = (0.5, 0.025), (0.125, 0.00625)
"""Steps of the two searches, forward [m] and yaw [rad]."""


@dataclass(frozen=True, slots=True)
class Sweeps:
    """Range images as horizontal range and height over the sensor [m], [B, rows, columns], 0 without a return.

    `up` and `down` [B, 1, 1] are the edges of the vertical field of view [rad]; column 0 has bearing +pi, bearings decrease.
    """

    reach: Tensor
    z: Tensor
    up: Tensor
    down: Tensor

    @classmethod
    def of(cls, image: Tensor, mount: Tensor) -> Sweeps:
        """From range images [B, 3, rows, columns] (range, height over the sensor, intensity) and mounts [B, 5]."""
        distance, z = image[:, 0].float(), image[:, 1].float()
        reach = (distance.square() - z.square()).clamp(min=0.0).sqrt()
        return cls(reach, z, mount[:, 0, None, None], mount[:, 1, None, None])

    def bearings(self) -> Tensor:
        """Bearing of each column [columns]."""
        columns = self.reach.shape[2]
        return torch.linspace(math.pi, -math.pi, 2 * columns + 1, device=self.reach.device)[1::2]

    def ground_plane(self) -> tuple[Tensor, Tensor]:
        """x and y of every return, [B, rows, columns] each."""
        bearings = self.bearings()
        return self.reach * bearings.cos(), self.reach * bearings.sin()

    def cells(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The number of the cell of points [B, ...], row by row; points above or below belong to the border rows."""
        rows, columns = self.reach.shape[1:]
        shape = (-1, *[1] * (x.ndim - 1))
        up, down = self.up.view(shape), self.down.view(shape)
        elevation = torch.atan2(z, torch.hypot(x, y))
        row = ((up - elevation) / (up - down) * rows).long().clamp(0, rows - 1)
        column = ((math.pi - torch.atan2(y, x)) / (2 * math.pi) * columns).long().remainder(columns)
        return row * columns + column


def move(x: Tensor, y: Tensor, forward: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of the older sweep's points after driving `forward` along an arc that turns by `yaw`."""
    x, y = x - forward * torch.cos(yaw / 2), y - forward * torch.sin(yaw / 2)
    sine, cosine = yaw.sin(), yaw.cos()
    return cosine * x + sine * y, cosine * y - sine * x


def move_back(x: Tensor, y: Tensor, forward: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of the newer sweep's points before that motion: the inverse of `move`."""
    sine, cosine = yaw.sin(), yaw.cos()
    x, y = cosine * x - sine * y, cosine * y + sine * x
    return x + forward * torch.cos(yaw / 2), y + forward * torch.sin(yaw / 2)


def _landmarks(sweep: Sweeps, height: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, y, z and weight [B, POINTS] of standing points, a fixed pseudo-random selection over the sweep."""
    standing = (sweep.reach > 1.5) & (sweep.reach < LARGEST_RANGE) & (sweep.z + height[:, None, None] > LEAST_HEIGHT)
    spread = torch.rand(standing[0].numel(), generator=torch.Generator().manual_seed(0), device="cpu").to(standing.device)
    weight, chosen = (standing.flatten(1) * (spread + 1.0)).topk(POINTS, dim=1)
    reach, z = (part.flatten(1).gather(1, chosen) for part in (sweep.reach, sweep.z))
    bearing = sweep.bearings().repeat(standing.shape[1])[chosen]
    return reach * bearing.cos(), reach * bearing.sin(), z, (weight > 0).float()


@torch.no_grad()
def match(now: Sweeps, before: Sweeps, height: Tensor) -> tuple[Tensor, Tensor]:
    """The motion from `before` to `now`, forward [m] and yaw [rad] as [B, 2], and its fit [B], 0 to 1.

    `height` [B] is that of the sensor over the ground [m].
    """
    x, y, z, weight = _landmarks(before, height)
    lookup = now.reach.flatten(1)

    def best(forward: Tensor, yaw: Tensor, tolerance: float, points: int) -> tuple[Tensor, Tensor]:
        """The best of candidates [B, n], by the first `points` points."""
        there = weight[:, None, :points]
        moved_x, moved_y = move(x[:, None, :points], y[:, None, :points], forward[..., None], yaw[..., None])
        cells = now.cells(moved_x, moved_y, z[:, None, :points].expand_as(moved_x))
        error = (lookup.gather(1, cells.flatten(1)).view_as(moved_x) - torch.hypot(moved_x, moved_y)) / tolerance
        fit = ((-error.square()).exp() * there).sum(-1) / there.sum(-1).clamp(min=1.0)
        # Where several motions fit equally, the smallest is chosen.
        value, index = (fit - 1e-3 * forward / MAX_FORWARD).max(1)
        return torch.stack([part.gather(1, index[:, None])[:, 0] for part in (forward, yaw)], 1), value

    batch = len(x)
    steps = [torch.arange(0.0, MAX_FORWARD + 0.1, COARSE[0]), torch.arange(-MAX_YAW, MAX_YAW + 0.01, COARSE[1])]
    grid = torch.cartesian_prod(*steps).to(x.device)
    motion, _ = best(grid[:, 0].expand(batch, -1), grid[:, 1].expand(batch, -1), 2 * COARSE[0], COARSE_POINTS)
    near = torch.arange(-4.0, 5.0, device=x.device)
    offsets = torch.cartesian_prod(near * FINE[0], near * FINE[1])
    fine = motion[:, None] + offsets
    return best(fine[..., 0].clamp(min=0.0), fine[..., 1], 2 * FINE[0], POINTS)
