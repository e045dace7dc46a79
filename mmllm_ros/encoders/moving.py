# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which returns moved by themselves: those of one sweep at places that beams of the other went through.

Where the other sweep was blocked nothing is known, so what only comes into view is not taken for moving (residual range
images, arXiv 2105.08971, with the free space of occupancy mapping in the place of a difference).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .scan_matching import Sweeps

APART, GRAZED = 0.4, 1.5
"""A beam that came so much farther went through; one that something stopped so much nearer may have met the same thing [m]."""


def gone_through(x: Tensor, y: Tensor, z: Tensor, other: Sweeps, standing: Tensor) -> Tensor:
    """Whether beams of `other` went through points [B, rows, columns] of its frame [m], as 0 or 1.

    Among the nine beams around a point one must have come farther, or met nothing at all, and none may have met what stands
    there. Ground does not count: a beam a little lower always meets it nearer by; `standing` [B, rows, columns] of `other` says
    what is none.
    """
    distance = torch.hypot(x, y)
    cells = other.cells(x, y, z).flatten(1)
    farthest = torch.where(other.reach == 0, torch.inf, other.reach)
    for side in (1, 2):
        farthest = torch.maximum(farthest, torch.maximum(farthest.roll(1, side), farthest.roll(-1, side)))
    farther = farthest.flatten(1).gather(1, cells).view_as(x) > distance + APART
    stood, met = torch.where(standing, other.reach, -torch.inf), torch.zeros_like(farther)
    for shift in ((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)):
        stands = stood.roll(shift, (1, 2)).flatten(1).gather(1, cells).view_as(x)
        met |= (stands > distance - GRAZED) & (stands < distance + APART)
    return (farther & ~met).float()
