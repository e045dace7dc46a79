# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Supervision without labels: where a fresh connector and a trained one look at the same thing, they must say the same about it.

Two tokens of one moment match when each is the other's nearest by bearing and range. In every linked block the learner's key,
value and gate are drawn to those of its match. Labels are few and say one word each; matches are many and say everything.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ..latent.attention_adapter import Latent, LatentCache
from ..latent.duplicate_suppression import apart_squared, bearing_and_log_range

FARTHEST = 1.5
"""Matches are at most so far apart, in the units of votes.py."""


def matches(places: Tensor, valid: Tensor, other_places: Tensor, other_valid: Tensor) -> Tensor:
    """Which tokens match: bool [M, T, T'] from places [M, T, 3] and [M, T', 3] of the same M moments; unknown ranges never do."""
    known = (valid & (places[..., 2] > 0))[:, :, None] & (other_valid & (other_places[..., 2] > 0))[:, None]
    here, there = (bearing_and_log_range(part) for part in (places[:, :, None], other_places[:, None]))
    apart = apart_squared(here, there).sqrt().masked_fill(~known, torch.inf)
    nearest = (apart == apart.amin(2, keepdim=True)) & (apart == apart.amin(1, keepdim=True))
    return nearest & (apart <= FARTHEST)


def disagreement(banks: Mapping[str, LatentCache], pairs: Mapping[tuple[str, str], Tensor]) -> Tensor:
    """How far learners are from their siblings, relative to the size of what the siblings say: 1 = as far as saying nothing.

    `pairs` maps (learner, sibling) to their `matches` at the moments of `banks`.
    """
    total = torch.zeros(())
    for (learner, sibling), matched in pairs.items():
        moment, own, other = matched.nonzero(as_tuple=True)
        shared = banks[learner].keys() & banks[sibling].keys()
        if not len(moment) or not shared:
            continue
        for block in shared:
            said = _at(banks[learner][block], moment, own)
            wanted = _at(banks[sibling][block], moment, other)
            for got, goal in zip(said, wanted, strict=True):
                goal = goal.detach().float()
                total = total + functional.mse_loss(got.float(), goal) / goal.square().mean().clamp(min=1e-6) / len(shared)
    return total


def _at(latent: Latent, moment: Tensor, token: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Key and value [n, H, K] and gate [n] of some tokens."""
    return latent.key[moment, :, token], latent.value[moment, :, token], latent.log_gate[moment, token].exp()
