# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Duplicate suppression: tokens of several sources that show the same object share the weight of one token.

A softmax over tokens counts an object twice that a camera and a lidar both see. Tokens do not attend to each other, so the weight
of each is computed from the places of all and added to its log-gate. A token whose object no other source shows keeps its weight.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..angles import wrapped

BEARING_UNIT, RANGE_UNIT = math.radians(4.0), 0.25
"""Typical difference of two measurements of one object: bearing [rad], natural logarithm of the range."""
LEAST_RANGE = 0.5
"""Smaller ranges [m] are raised to this one before the logarithm."""


def bearing_and_log_range(places: Tensor) -> tuple[Tensor, Tensor]:
    """Of places [..., 3]: bearing [rad] and natural logarithm of the range, [...] each."""
    return places[..., 0], places[..., 2].clamp(min=LEAST_RANGE).log()


def distance_squared(here: tuple[Tensor, Tensor], there: tuple[Tensor, Tensor]) -> Tensor:
    """Squared distance of two measurements (bearing, logarithm of the range), in BEARING_UNIT and RANGE_UNIT."""
    return (wrapped(here[0] - there[0]) / BEARING_UNIT).square() + ((here[1] - there[1]) / RANGE_UNIT).square()


def detections(places: Tensor, weight: Tensor, sources: Tensor | None) -> Tensor:
    """The detection of each token, [B, T, 4]: bearing [rad], logarithm of the range, weight and source.

    `places` is [B, T, 3]; `weight` [B, T] is in [0, 1]; `sources` [T] or [B, T] numbers the source of each token, None = one
    source. A token without a range has weight 0.
    """
    numbers = torch.zeros_like(weight) if sources is None else sources.to(weight).expand_as(weight)
    return torch.stack([*bearing_and_log_range(places), weight.detach() * (places[..., 2] > 0), numbers], dim=-1)


def log_weights(detected: Tensor, attended: Tensor) -> Tensor:
    """Logarithm of each token's weight after suppression, in the shape of `attended`.

    `detected` is [B, P, 4]; `attended` is bool [B, P], or [B, S, P] for S texts that attend to different tokens.
    """
    bearing, log_range, weight, source = detected.unbind(-1)
    alike = (-0.5 * distance_squared((bearing[:, :, None], log_range[:, :, None]), (bearing[:, None], log_range[:, None]))).exp()
    apart = (source[:, :, None] != source[:, None, :]) & (weight[:, :, None] > 0)
    others = (alike * apart * weight[:, None, :]).transpose(1, 2)
    rows = attended.to(others.dtype)
    return -torch.log1p((rows if rows.ndim == 3 else rows[:, None]) @ others).view(attended.shape)
