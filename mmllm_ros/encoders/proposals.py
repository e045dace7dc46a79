# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a map of cells to a few tokens: the cells that most look like an object's centre, and pooled sectors.

Count and object questions need object-level tokens (papers.md 5.1), so a cell competes by its objectness (centres as in
CenterNet, arXiv 1904.07850) and the winners become tokens that carry what the heads read there. Sector tokens carry
the expected number of each class, so that nothing is lost where there are more objects than winners.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = (
    "bus",
    "car",
    "construction vehicle",
    "trailer",
    "truck",
    "bicycle",
    "motorcycle",
    "pedestrian",
    "traffic cone",
    "barrier",
    "red light",
    "yellow light",
    "green light",
)
STATUSES = ("moving", "stopped", "parked", "with rider", "without rider", "standing", "not standing")
COLOURS = ("red", "green", "blue", "yellow", "white", "black")
GROUPS = {"object": 1, "class": len(CLASSES), "status": len(STATUSES), "colour": len(COLOURS), "place": 2}
"""What the heads read in a cell, in order; `place` is the bearing offset [rad] and the natural logarithm of the range [m]."""

ATTRIBUTES = 1 + len(CLASSES) + len(STATUSES) + len(COLOURS)
"""How many numbers of a token are read-outs; the rest is the cell's feature."""


class Proposals(nn.Module):
    """Heads over cells and the choice of tokens.

    Args:
        width: feature width of a cell.
        objects: how many object tokens are chosen.
        sectors: how many pooled tokens; the cells' columns are divided among them evenly.
        columns: cells along the bearing.
        circular: whether the first and the last column are neighbours.
    """

    def __init__(self, width: int, objects: int, sectors: int, columns: int, circular: bool) -> None:
        super().__init__()
        self.objects, self.sectors, self.columns, self.circular = objects, sectors, columns, circular
        self.norm = nn.LayerNorm(width)
        self.heads = nn.Linear(width, sum(GROUPS.values()))

    def read(self, cells: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cells [B, C, width] -> normalised features and the heads' raw outputs by group, each [B, C, size]."""
        features = self.norm(cells)
        return features, dict(zip(GROUPS, self.heads(features).split(list(GROUPS.values()), dim=-1), strict=True))

    def forward(self, cells: Tensor, bearings: Tensor, elevations: Tensor) -> tuple[Tensor, Tensor]:
        """Cells [B, C, width], row by row, with bearing and elevation [B, C] -> values [B, T, D], places [B, T, 3]."""
        features, outputs = self.read(cells)
        objectness = outputs["object"].sigmoid()
        kinds = [outputs[group].softmax(-1) for group in ("class", "status", "colour")]
        values = torch.cat([features, objectness, *kinds], dim=-1)
        offset, log_range = outputs["place"].unbind(-1)
        places = torch.stack([bearings + offset, elevations, log_range.clamp(-1.0, 4.5).exp()], dim=-1)
        chosen = self._peaks(objectness.squeeze(-1)).topk(self.objects, dim=1).indices.unsqueeze(-1)
        picked = [part.gather(1, chosen.expand(-1, -1, part.shape[-1])) for part in (values, places)]
        pooled = self._pool(features, objectness, kinds, bearings)
        return torch.cat([picked[0], pooled[0]], dim=1), torch.cat([picked[1], pooled[1]], dim=1)

    def _peaks(self, objectness: Tensor) -> Tensor:
        """Objectness [B, C], halved where a neighbouring column of the same row is stronger."""
        rows = objectness.unflatten(1, (-1, self.columns))
        padded = functional.pad(rows, (1, 1), mode="circular" if self.circular else "replicate")
        strongest = functional.max_pool1d(padded, 3, stride=1)
        return torch.where(rows >= strongest, rows, rows / 2).flatten(1)

    def _pool(self, features: Tensor, objectness: Tensor, kinds: list[Tensor], bearings: Tensor) -> tuple[Tensor, Tensor]:
        def by_sector(cells: Tensor) -> Tensor:
            grid = cells.unflatten(1, (-1, self.sectors, self.columns // self.sectors))
            return grid.transpose(1, 2).flatten(2, 3)

        expected = [by_sector(objectness * kind).sum(2) for kind in kinds]
        total = by_sector(objectness).sum(2)
        values = torch.cat([by_sector(features).mean(2), total, *expected], dim=-1)
        directions = by_sector(torch.stack([bearings.sin(), bearings.cos()], dim=-1)).mean(2)
        bearing = torch.atan2(directions[..., 0], directions[..., 1])
        return values, torch.stack([bearing, torch.zeros_like(bearing), torch.zeros_like(bearing)], dim=-1)
