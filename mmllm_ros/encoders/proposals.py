# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Selects tokens from a map of cells: the cells with the highest objectness, and pooled sectors.

Questions about counts and objects need object-level tokens, so the cells with the highest objectness (centres as in CenterNet,
arXiv 1904.07850) become tokens with the attributes that the heads predict there. Sector tokens carry the expected number of each
class, which covers objects beyond the number of object tokens.
"""

from __future__ import annotations

from collections.abc import Callable

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
"""Outputs of the heads by group, in order, and their sizes; each encoder defines the two numbers of `place`."""
DISTRIBUTIONS = ("class", "status", "colour")
"""Groups whose predicted attributes are probabilities in an object token, and expected numbers of objects in a sector token."""

INITIAL_OBJECTNESS = -4.0
ATTRIBUTES = 1 + len(CLASSES) + len(STATUSES) + len(COLOURS)
"""Number of predicted attributes of a token; the other numbers are the cell's feature."""


class Proposals(nn.Module):
    """Heads over cells and the choice of tokens.

    Args:
        width: feature width of a cell.
        objects: number of object tokens.
        sectors: number of pooled tokens.
        unobservable: groups that this sensor cannot measure; their predicted attributes are uniform probabilities.
    """

    def __init__(self, width: int, objects: int, sectors: int, unobservable: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.unobservable = unobservable
        self.objects, self.sectors = objects, sectors
        self.norm = nn.LayerNorm(width)
        self.heads = nn.Linear(width, sum(GROUPS.values()))
        # Objects are rare: with a bias of 0 the gradients of thousands of empty cells would exceed those of the other heads.
        nn.init.constant_(self.heads.bias[0], INITIAL_OBJECTNESS)

    def read(self, cells: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cells [B, C, width] -> normalised features and the raw outputs of the heads by group, each [B, C, size]."""
        features = self.norm(cells)
        return features, dict(zip(GROUPS, self.heads(features).split(list(GROUPS.values()), dim=-1), strict=True))

    def head_rows(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of the head of each group, in order, as views that share their memory."""
        sizes = list(GROUPS.values())
        return list(zip(self.heads.weight.split(sizes), self.heads.bias.split(sizes), strict=True))

    def forward(
        self,
        cells: Tensor,
        bearings: Tensor,
        sector: Tensor,
        locate: Callable[[Tensor], Tensor],
        local_maximum: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Cells -> values [B, T, D], places [B, T, 3].

        Args:
            cells: [B, C, width].
            bearings: [B, C] of the cells [rad].
            sector: the number of each cell's sector, int64 [C].
            locate: the heads' place [B, C, 2] -> places [B, C, 3].
            local_maximum: a number for each cell [B, C] -> the maximum over the cell and its neighbours.
        """
        features, outputs = self.read(cells)
        objectness = outputs["object"].sigmoid()
        kinds = [self._probabilities(group, outputs[group]) for group in DISTRIBUTIONS]
        values, places = [features, objectness, *kinds], locate(outputs["place"])
        # A cell beside one with higher objectness most likely shows the same object.
        found = objectness.squeeze(-1)
        peaks = torch.where(found >= local_maximum(found), found, found / 2)
        chosen = peaks.topk(self.objects, dim=1).indices.unsqueeze(-1)
        *picked, where = (part.gather(1, chosen.expand(-1, -1, part.shape[-1])) for part in (*values, places))
        pooled = self._pool(features, objectness, kinds, bearings, sector)
        return torch.cat([torch.cat(picked, dim=-1), pooled[0]], dim=1), torch.cat([where, pooled[1]], dim=1)

    def _probabilities(self, group: str, output: Tensor) -> Tensor:
        if group in self.unobservable:
            return torch.full_like(output, 1 / output.shape[-1])
        # On a CPU, softmax over short rows is ten times slower than over columns.
        return output.transpose(1, 2).contiguous().softmax(1).transpose(1, 2)

    def _pool(
        self, features: Tensor, objectness: Tensor, kinds: list[Tensor], bearings: Tensor, sector: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean features and expected numbers of objects by sector, and the bearings of the sectors."""
        member = functional.one_hot(sector, self.sectors).to(features.dtype).T
        expected = member @ torch.cat([objectness, *(objectness * kind for kind in kinds)], dim=-1)
        count = member.sum(1)[:, None]
        values = torch.cat([member @ features / count, expected], dim=-1)
        directions = member @ torch.stack([bearings.sin(), bearings.cos()], dim=-1)
        bearing = torch.atan2(directions[..., 0], directions[..., 1])
        return values, torch.stack([bearing, torch.zeros_like(bearing), torch.zeros_like(bearing)], dim=-1)
