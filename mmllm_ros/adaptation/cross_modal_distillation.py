# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Key/value distillation from existing connectors to an untrained one, by tokens of the same place: supervision without labels.

Two tokens of one frame match when each is the nearest of the other by bearing and range. In every linked block the learner's
key, value and gate are drawn to those of its match. Labels are few; matches give a target for many tokens of every frame.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from ..latent.attention_adapter import Latent, LatentCache
from ..latent.duplicate_suppression import bearing_and_log_range, distance_squared

FARTHEST = 1.5
"""Largest distance of a match, in the units of latent/duplicate_suppression.py."""


def matches(places: Tensor, valid: Tensor, other_places: Tensor, other_valid: Tensor) -> Tensor:
    """Which tokens match: bool [M, T, T'] from places [M, T, 3] and [M, T', 3] of M frames; unknown ranges never match."""
    known = (valid & (places[..., 2] > 0))[:, :, None] & (other_valid & (other_places[..., 2] > 0))[:, None]
    here, there = (bearing_and_log_range(part) for part in (places[:, :, None], other_places[:, None]))
    apart = distance_squared(here, there).sqrt().masked_fill(~known, torch.inf)
    nearest = (apart == apart.amin(2, keepdim=True)) & (apart == apart.amin(1, keepdim=True))
    return nearest & (apart <= FARTHEST)


def distillation_loss(latent_caches: Mapping[str, LatentCache], pairs: Mapping[tuple[str, str], Tensor]) -> Tensor:
    """Squared error of the learners' latents against those of existing modalities, relative to their mean square.

    1 = as far as latents of zero. `pairs` maps (learner, existing modality) to their `matches` in the frames of `latent_caches`.
    """
    total = torch.zeros(())
    for (learner, existing), matched in pairs.items():
        frame, own, other = matched.nonzero(as_tuple=True)
        shared = latent_caches[learner].keys() & latent_caches[existing].keys()
        if not len(frame) or not shared:
            continue
        for block in shared:
            outputs = _at(latent_caches[learner][block], frame, own)
            targets = _at(latent_caches[existing][block], frame, other)
            for got, target in zip(outputs, targets, strict=True):
                target = target.detach().float()
                total = total + functional.mse_loss(got.float(), target) / target.square().mean().clamp(min=1e-6) / len(shared)
    return total


def _at(latent: Latent, frame: Tensor, token: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Key and value [n, H, K] and gate [n] of some tokens."""
    return latent.key[frame, :, token], latent.value[frame, :, token], latent.log_gate[frame, token].exp()
