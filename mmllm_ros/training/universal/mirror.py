# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Mirrored moments: left and right exchanged in signals, targets and answers, so that each rendered moment counts twice."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from .targets import TEMPLATES

_SIDES = {"left": "right", "right": "left"}
MICROPHONES = (1, 0, 3, 2)
"""Front left, front right, back left, back right (simulator/sensors/microphones.py), mirrored."""
TRANSDUCERS = (3, 2, 1, 0, 5, 4, 7, 6)
"""Channels of the array (simulator/sensors/ultrasonic.py), mirrored."""


def other_side(words: str) -> str:
    """`words` with left and right exchanged, also in names with underscores."""
    return re.sub("(?<![a-z])(left|right)(?![a-z])", lambda match: _SIDES[match[0]], words)


_NUMBERS = {name: number for number, name in enumerate(TEMPLATES)}
MIRRORED_TEMPLATES = tuple(_NUMBERS.get(other_side(name), number) for name, number in _NUMBERS.items())


def mirrored_answers(answers: list[str | None]) -> list[str | None]:
    """The answers to TEMPLATES in the mirrored moment."""
    return [answer and other_side(answer) for answer in (answers[n] for n in MIRRORED_TEMPLATES)]


def mirrored(kind: str, tensors: Tensor) -> Tensor:
    """Tensors [B, ...] of a kind of signal (encoders/universal/signals.py), mirrored."""
    if kind in ("image", "video", "depth"):
        return tensors.flip(-1)
    if kind == "normals":
        return tensors.flip(-1) * tensors.new_tensor([1, -1, 1]).view(3, 1, 1)
    if kind == "points":
        # Sorted by bearing; relative position and centre are the first six numbers of a point.
        return tensors.flip(1) * tensors.new_tensor([1, -1, 1, 1, -1, 1, 1, 1])
    if kind == "imu":
        return tensors * tensors.new_tensor([1, -1, 1, -1, 1, -1]).view(6, 1)
    if kind == "array":
        return tensors[:, list(TRANSDUCERS)]
    return _mirrored_sound(tensors)


def _mirrored_sound(tensors: Tensor) -> Tensor:
    """Phase differences are to the first microphone, which is another one in the mirrored moment."""
    count = len(MICROPHONES)
    loud, cosine, sine = tensors.split([count, count - 1, count - 1], dim=1)
    phase = torch.cat([torch.ones_like(cosine[:, :1], dtype=torch.complex64), torch.complex(cosine.float(), sine.float())], dim=1)
    phase = phase[:, list(MICROPHONES)]
    phase = (phase * phase[:, :1].conj())[:, 1:]
    return torch.cat([loud[:, list(MICROPHONES)], phase.real, phase.imag], dim=1)


def mirrored_targets(targets: dict[str, Tensor]) -> dict[str, Tensor]:
    """Targets [B, ...] of the mirrored moments: sectors run from left to right."""
    turned = {name: value.flip(1) for name, value in targets.items() if name != "motion"}
    return {**turned, "motion": targets["motion"] * targets["motion"].new_tensor([1, -1, 1])}
