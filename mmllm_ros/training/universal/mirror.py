# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Mirrored moments: left and right exchanged in signals, targets and answers, so that each rendered moment counts twice."""

from __future__ import annotations

import re

from torch import Tensor

from .targets import PATCHES, TEMPLATES

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
    # The mean of the microphones, then the level of each.
    return tensors[:, [0, *(1 + number for number in MICROPHONES)]]


def mirrored_targets(targets: dict[str, Tensor]) -> dict[str, Tensor]:
    """Targets [B, ...] of the mirrored moments: sectors and the columns of patches run from left to right."""
    turned = {name: value.flip(-1) if name in PATCHES else value.flip(1) for name, value in targets.items() if name != "motion"}
    return {**turned, "motion": targets["motion"] * targets["motion"].new_tensor([1, -1, 1])}
