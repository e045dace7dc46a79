# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two sweeps seen from above, the older one from where the newer was taken: how much stands in each half metre, at which height.

From above an object looks the same wherever it is, and what moved by itself lies beside where it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .moving import gone_through
from .scan_matching import Sweeps, move, move_back

REACH, CELL = 36.0, 0.5
"""Half the side of the map [m], with the base frame's origin in its middle, and the side of one of its cells [m]."""
SIDE = round(2 * REACH / CELL)
EDGES = (-0.3, 0.15, 0.5, 0.9, 1.3, 1.8, 2.6, 4.0)
"""Heights over the ground [m] between which returns are counted; the lowest slice is the ground itself."""
SLICES = len(EDGES) - 1
LOUD = 3.0
"""So much stronger is told that something moved: it is rare, and nothing else tells what moves from what has stopped."""
CHANNELS = SLICES + 2 + SLICES - 1 + 1 + 4


def birds_eye(
    now: Sweeps, before: Sweeps, motion: Tensor, intensity: Tensor, mount: Tensor, view: Tensor | None = None
) -> Tensor:
    """Two sweeps as one map: [B, CHANNELS, SIDE, SIDE], first forward, then left.

    Of the newer sweep the returns in each slice (logarithmic) and the mean intensity of ground and of what stands on it, of the
    older one the slices above the ground, how far away a cell is, and what moved by itself: where something came, where it went,
    and of what share of a cell's returns the other sweep's beams tell that.

    Args:
        now, before: the sweeps.
        motion: [B, 2], from the older to the newer sweep, as scan_matching.match finds it.
        intensity: [B, rows, columns] of the newer sweep.
        mount: [B, 5], of which the last three are the lidar's position.
        view: [B, 2, 2], turns or mirrors what is seen.
    """
    motion, height = motion[:, :, None, None].unbind(1), mount[:, 4, None, None]
    x, y = now.ground_plane()
    old_x, old_y = move(*before.ground_plane(), *motion)
    came = gone_through(*move_back(x, y, *motion), now.z, before, before.z + height > EDGES[1])
    went = gone_through(old_x, old_y, before.z, now, now.z + height > EDGES[1])
    new, new_told = _counted(x, y, now.z + height, now.reach > 0, (intensity, came), mount, view)
    old, old_told = _counted(old_x, old_y, before.z + height, before.reach > 0, (went,), mount, view)
    middle = torch.linspace(-REACH, REACH, 2 * SIDE + 1, device=x.device)[1::2]
    away = torch.hypot(middle[:, None], middle[None, :]).expand(len(x), 1, -1, -1) / REACH
    stands, stood = (slices[:, 1:].sum(1, keepdim=True).clamp(max=1.0) for slices in (new, old))
    moved = [(stands - _near(stood)).relu(), (stood - _near(stands)).relu(), new_told[:, 3:], old_told[:, 1:]]
    return torch.cat([new.log1p(), new_told[:, :2], old[:, 1:].log1p(), away, LOUD * torch.cat(moved, dim=1)], dim=1)


def _near(cells: Tensor) -> Tensor:
    """The most in each cell and those around it: half a metre apart is within what scan matching errs by."""
    return functional.max_pool2d(cells, 3, 1, 1)


def _counted(
    x: Tensor, y: Tensor, height: Tensor, there: Tensor, told: Sequence[Tensor], mount: Tensor, view: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns by slice [B, SLICES, SIDE, SIDE], and the mean of each number told, on the ground and above: [B, 2 each, ...].

    A return is shared by the four cells around it, so that a motion of less than a cell shows.
    """
    batch, channels = len(x), SLICES + 2 * len(told)
    x, y = x + mount[:, 2, None, None], y + mount[:, 3, None, None]
    if view is not None:
        # By hand: autocast would make a 16-bit product of it, and err by a cell.
        (a, b), (c, d) = (row.unbind(1) for row in view[..., None, None].unbind(1))
        x, y = a * x + b * y, c * x + d * y
    row, column = (x + REACH) / CELL - 0.5, (y + REACH) / CELL - 0.5
    level = torch.bucketize(height, height.new_tensor(EDGES)) - 1
    kept = there & (level >= 0) & (level < SLICES) & (row >= 0) & (row < SIDE - 1) & (column >= 0) & (column < SIDE - 1)
    kept = kept.flatten().nonzero().squeeze(1)
    number = kept // row[0].numel()
    row, column, level, *told = (part.flatten().index_select(0, kept) for part in (row, column, level, *told))
    first_row, first_column = row.floor(), column.floor()
    right, down = column - first_column, row - first_row
    corner = number * channels * SIDE * SIDE + first_row.long() * SIDE + first_column.long()
    above = corner + (SLICES + (level > 0).long()) * SIDE * SIDE
    counted = x.new_zeros(batch * channels * SIDE * SIDE)
    for step, share in (
        (0, (1 - down) * (1 - right)),
        (1, (1 - down) * right),
        (SIDE, down * (1 - right)),
        (SIDE + 1, down * right),
    ):
        counted.index_add_(0, corner + level * SIDE * SIDE + step, share)
        for index, values in enumerate(told):
            counted.index_add_(0, above + (2 * index * SIDE * SIDE + step), share * values)
    counts, sums = counted.view(batch, channels, SIDE, SIDE).split([SLICES, 2 * len(told)], dim=1)
    both = torch.stack([counts[:, 0], counts[:, 1:].sum(1)], 1).clamp(min=1.0)
    return counts, sums / both.repeat(1, len(told), 1, 1)


def bearings_and_ranges(x: Tensor, y: Tensor) -> Tensor:
    """Places [..., 3] of points of the base frame's ground: bearing [rad], elevation 0, range [m]."""
    return torch.stack([torch.atan2(y, x), torch.zeros_like(x), torch.hypot(x, y).clamp(min=0.5)], dim=-1)


def sector_numbers(x: Tensor, y: Tensor, sectors: int) -> Tensor:
    """Which of `sectors` points lie in, counted from bearing +pi down, as columns of a range image are."""
    return ((math.pi - torch.atan2(y, x)) / (2 * math.pi) * sectors).long().clamp(0, sectors - 1)
