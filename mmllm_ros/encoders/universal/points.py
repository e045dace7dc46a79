# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Point clouds as patches of neighbouring points (Point-BERT, arXiv 2111.14819): farthest-point sampling, nearest neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

KEPT = 2048
"""Points of a cloud that are used: more are thinned out evenly."""
FEATURES = 8
"""Numbers per point: position relative to the patch's centre (3), the centre (3), log range of the centre, intensity."""


def compressed(points: Tensor) -> Tensor:
    """Positions [N, 3] [m] with their range on a logarithmic scale, so that near space has as many patches as far space."""
    distance = points.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    return points / distance * distance.log1p()


def farthest_points(positions: Tensor, count: int) -> Tensor:
    """Indices [count] of points that are far from each other, starting with the first; repeated where there are fewer points."""
    chosen = torch.zeros(count, dtype=torch.long)
    nearest = torch.full((len(positions),), torch.inf)
    for index in range(1, count):
        nearest = torch.minimum(nearest, (positions - positions[chosen[index - 1]]).square().sum(-1))
        chosen[index] = nearest.argmax()
    return chosen


def point_patches(points: Tensor, patches: int, size: int) -> Tensor:
    """Points [N, 3 or 4] -> float32 [patches, size, FEATURES]; the patches are ordered by bearing."""
    if len(points) > KEPT:
        points = points[torch.linspace(0, len(points) - 1, KEPT).long()]
    positions = compressed(points[:, :3])
    chosen = farthest_points(positions, patches)
    chosen = chosen[torch.atan2(positions[chosen, 1], positions[chosen, 0]).argsort()]
    centres = positions[chosen]
    near = torch.cdist(centres, positions).topk(min(size, len(points)), largest=False).indices
    near = near[:, torch.arange(size) % near.shape[1]]
    relative = positions[near] - centres[:, None]
    middle = torch.cat([centres, centres.norm(dim=-1, keepdim=True)], dim=-1)[:, None].expand(-1, size, -1)
    intensity = points[near][..., 3:] if points.shape[1] == 4 else torch.zeros(*near.shape, 1)
    return torch.cat([4.0 * relative, middle / 2.0, intensity], dim=-1)
