# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One thing, one vote: tokens of several sources that show the same thing share the weight that one of them would have.

A camera and a lidar that both see a car speak of it twice, and a softmax over tokens would count it twice. Tokens do not see each
other, so the share is worked out from where they look, and added to their log-gates. What a source shows alone keeps its weight.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..angles import wrapped

BEARING_UNIT, RANGE_UNIT = math.radians(4.0), 0.25
"""Two readings of one thing differ by about so much [rad, natural logarithm of the range]."""
LEAST_RANGE = 0.5
"""Nearer than this [m] the logarithm would exaggerate."""


def bearing_and_log_range(places: Tensor) -> tuple[Tensor, Tensor]:
    """Of places [..., 3], two numbers by which readings of things can be compared, [...] each."""
    return places[..., 0], places[..., 2].clamp(min=LEAST_RANGE).log()


def apart_squared(here: tuple[Tensor, Tensor], there: tuple[Tensor, Tensor]) -> Tensor:
    """How far apart two readings are (bearing, logarithm of the range), squared, in the units above."""
    return (wrapped(here[0] - there[0]) / BEARING_UNIT).square() + ((here[1] - there[1]) / RANGE_UNIT).square()


def claims(places: Tensor, weight: Tensor, sources: Tensor | None) -> Tensor:
    """What tokens claim, [B, T, 4]: bearing [rad], logarithm of the range, weight and source.

    `places` is [B, T, 3]; `weight` [B, T] in [0, 1] says how much a token has to say; `sources` [T] or [B, T] numbers who says
    it. A token without a range claims nothing: its weight is 0.
    """
    said_by = torch.zeros_like(weight) if sources is None else sources.to(weight).expand_as(weight)
    return torch.stack([*bearing_and_log_range(places), weight.detach() * (places[..., 2] > 0), said_by], dim=-1)


def log_share(claimed: Tensor, heard: Tensor) -> Tensor:
    """Logarithm of each token's share of its thing's vote, as `heard`: bool [B, P], or [B, S, P] for S texts that hear others."""
    bearing, log_range, weight, source = claimed.unbind(-1)
    alike = (-0.5 * apart_squared((bearing[:, :, None], log_range[:, :, None]), (bearing[:, None], log_range[:, None]))).exp()
    apart = (source[:, :, None] != source[:, None, :]) & (weight[:, :, None] > 0)
    others = (alike * apart * weight[:, None, :]).transpose(1, 2)
    rows = heard.to(others.dtype)
    return -torch.log1p((rows if rows.ndim == 3 else rows[:, None]) @ others).view(heard.shape)
