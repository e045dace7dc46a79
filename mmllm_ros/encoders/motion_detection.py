# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Finds the lidar returns of moving objects: returns of one sweep at places that beams of the other sweep passed through.

Where the other sweep was blocked nothing is known, so an object that only comes into view does not count as moving (residual
range images, arXiv 2105.08971, with the free space of occupancy mapping instead of a difference).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .scan_matching import Sweeps

PASSED, BLOCKED = 0.4, 1.5
"""A beam that is longer by PASSED [m] passed through the point; one that is shorter by up to BLOCKED [m] may have hit the same
object."""


def gone_through(x: Tensor, y: Tensor, z: Tensor, other: Sweeps, standing: Tensor) -> Tensor:
    """Whether beams of `other` passed through points [B, rows, columns] of its frame [m], as 0 or 1.

    Of the nine beams around a point one has a longer range or no return, and none has a return of a standing object at the point.
    Returns of the ground do not count, because a slightly lower beam always hits the ground nearer; `standing` [B, rows, columns]
    marks the returns of `other` that are not ground.
    """
    distance = torch.hypot(x, y)
    cells = other.cells(x, y, z).flatten(1)
    farthest = torch.where(other.reach == 0, torch.inf, other.reach)
    for side in (1, 2):
        farthest = torch.maximum(farthest, torch.maximum(farthest.roll(1, side), farthest.roll(-1, side)))
    farther = farthest.flatten(1).gather(1, cells).view_as(x) > distance + PASSED
    standing_range, blocked = torch.where(standing, other.reach, -torch.inf), torch.zeros_like(farther)
    for shift in ((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)):
        stands = standing_range.roll(shift, (1, 2)).flatten(1).gather(1, cells).view_as(x)
        blocked |= (stands > distance - BLOCKED) & (stands < distance + PASSED)
    return (farther & ~blocked).float()
