# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bird's-eye map of two sweeps, the older one moved to the pose of the newer: returns by half-metre cell and height.

In this view the shape of an object does not depend on its place, and a moving object appears beside its earlier place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .motion_detection import gone_through
from .scan_matching import Sweeps, move, move_back

REACH, CELL = 36.0, 0.5
"""Half the side of the map [m], with the base frame's origin in its middle, and the side of one of its cells [m]."""
SIDE = round(2 * REACH / CELL)
EDGES = (-0.3, 0.15, 0.5, 0.9, 1.3, 1.8, 2.6, 4.0)
"""Heights over the ground [m] between which returns are counted; the lowest slice is the ground itself."""
SLICES = len(EDGES) - 1
MOTION_SCALE = 3.0
"""Factor of the channels that show motion: moving objects are rare, and no other channel separates them from stopped ones."""
CHANNELS = SLICES + 2 + SLICES - 1 + 1 + 4


def birds_eye(
    now: Sweeps, before: Sweeps, motion: Tensor, intensity: Tensor, mount: Tensor, view: Tensor | None = None
) -> Tensor:
    """Two sweeps as one map: [B, CHANNELS, SIDE, SIDE], first forward, then left.

    Channels: of the newer sweep the returns in each slice (logarithmic) and the mean intensity of the ground and above it; of the
    older one the slices above the ground; the range of the cell; and motion: cells that became occupied, cells that became free,
    and of each the share of the cell's returns at places that beams of the other sweep passed through.

    Args:
        now, before: the sweeps.
        motion: [B, 2], from the older to the newer sweep, as scan_matching.match finds it.
        intensity: [B, rows, columns] of the newer sweep.
        mount: [B, 5], of which the last three are the lidar's position.
        view: [B, 2, 2], rotates or mirrors the map.
    """
    motion, height = motion[:, :, None, None].unbind(1), mount[:, 4, None, None]
    x, y = now.ground_plane()
    old_x, old_y = move(*before.ground_plane(), *motion)
    came = gone_through(*move_back(x, y, *motion), now.z, before, before.z + height > EDGES[1])
    went = gone_through(old_x, old_y, before.z, now, now.z + height > EDGES[1])
    new, new_means = _counted(x, y, now.z + height, now.reach > 0, (intensity, came), mount, view)
    old, old_means = _counted(old_x, old_y, before.z + height, before.reach > 0, (went,), mount, view)
    middle = torch.linspace(-REACH, REACH, 2 * SIDE + 1, device=x.device)[1::2]
    away = torch.hypot(middle[:, None], middle[None, :]).expand(len(x), 1, -1, -1) / REACH
    stands, stood = (slices[:, 1:].sum(1, keepdim=True).clamp(max=1.0) for slices in (new, old))
    moved = [(stands - _near(stood)).relu(), (stood - _near(stands)).relu(), new_means[:, 3:], old_means[:, 1:]]
    return torch.cat([new.log1p(), new_means[:, :2], old[:, 1:].log1p(), away, MOTION_SCALE * torch.cat(moved, dim=1)], dim=1)


def _near(cells: Tensor) -> Tensor:
    """Maximum over each cell and its neighbours: half a metre is within the error of scan matching."""
    return functional.max_pool2d(cells, 3, 1, 1)


def _counted(
    x: Tensor, y: Tensor, height: Tensor, there: Tensor, numbers: Sequence[Tensor], mount: Tensor, view: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns by slice [B, SLICES, SIDE, SIDE], and the mean of each of `numbers` on the ground and above: [B, 2 each, ...].

    A return is distributed over the four cells around it (bilinear), so that a motion of less than a cell is visible.
    """
    batch, channels = len(x), SLICES + 2 * len(numbers)
    x, y = x + mount[:, 2, None, None], y + mount[:, 3, None, None]
    if view is not None:
        # Not as a matrix product, which autocast would compute in 16 bits, with errors of a cell.
        (a, b), (c, d) = (row.unbind(1) for row in view[..., None, None].unbind(1))
        x, y = a * x + b * y, c * x + d * y
    row, column = (x + REACH) / CELL - 0.5, (y + REACH) / CELL - 0.5
    level = torch.bucketize(height, height.new_tensor(EDGES)) - 1
    kept = there & (level >= 0) & (level < SLICES) & (row >= 0) & (row < SIDE - 1) & (column >= 0) & (column < SIDE - 1)
    kept = kept.flatten().nonzero().squeeze(1)
    sample = kept // row[0].numel()
    row, column, level, *numbers = (part.flatten().index_select(0, kept) for part in (row, column, level, *numbers))
    first_row, first_column = row.floor(), column.floor()
    right, down = column - first_column, row - first_row
    corner = sample * channels * SIDE * SIDE + first_row.long() * SIDE + first_column.long()
    above = corner + (SLICES + (level > 0).long()) * SIDE * SIDE
    counted = x.new_zeros(batch * channels * SIDE * SIDE)
    for step, weight in (
        (0, (1 - down) * (1 - right)),
        (1, (1 - down) * right),
        (SIDE, down * (1 - right)),
        (SIDE + 1, down * right),
    ):
        counted.index_add_(0, corner + level * SIDE * SIDE + step, weight)
        for index, values in enumerate(numbers):
            counted.index_add_(0, above + (2 * index * SIDE * SIDE + step), weight * values)
    counts, sums = counted.view(batch, channels, SIDE, SIDE).split([SLICES, 2 * len(numbers)], dim=1)
    both = torch.stack([counts[:, 0], counts[:, 1:].sum(1)], 1).clamp(min=1.0)
    return counts, sums / both.repeat(1, len(numbers), 1, 1)


def bearings_and_ranges(x: Tensor, y: Tensor) -> Tensor:
    """Places [..., 3] of points of the base frame's ground: bearing [rad], elevation 0, range [m]."""
    return torch.stack([torch.atan2(y, x), torch.zeros_like(x), torch.hypot(x, y).clamp(min=0.5)], dim=-1)


def sector_numbers(x: Tensor, y: Tensor, sectors: int) -> Tensor:
    """The number of the sector of each point, of `sectors` counted from bearing +pi downwards, as in a range image."""
    return ((math.pi - torch.atan2(y, x)) / (2 * math.pi) * sectors).long().clamp(0, sectors - 1)
