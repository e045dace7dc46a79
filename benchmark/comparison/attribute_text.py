# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The predicted attributes of tokens (encoders/proposals.py) as text: "lidar: moving car, 12 m, 30 degrees left"."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmllm_ros.encoders.proposals import ATTRIBUTES, CLASSES, COLOURS, STATUSES

SENSORS = ("camera", "lidar")
"""The modalities whose tokens have predicted attributes."""
LEAST_OBJECTNESS, MOST_OBJECTS = 0.4, 12
"""A token is an object from this objectness on; the surest of each sensor are written."""


def described(modality: str, values: np.ndarray, places: np.ndarray) -> list[str]:
    """The objects in tokens `values` [T, D] at `places` [T, 3] of one source, the surest first, a line each."""
    parts = np.split(values[:, -ATTRIBUTES:], np.cumsum([1, len(CLASSES), len(STATUSES)]), axis=1)
    lines = []
    for index in np.argsort(-parts[0][:, 0]):
        bearing, _, distance = places[index]
        if parts[0][index, 0] < LEAST_OBJECTNESS or distance <= 0 or len(lines) == MOST_OBJECTS:
            continue
        status, colour = (_named(names, part[index]) for names, part in ((STATUSES, parts[2]), (COLOURS, parts[3])))
        kind, side = CLASSES[int(parts[1][index].argmax())], "left" if bearing > 0 else "right"
        words = " ".join(filter(None, (status, colour, kind)))
        lines.append(f"{modality}: {words}, {distance:.0f} m, {abs(math.degrees(bearing)):.0f} degrees {side}")
    return lines


def _named(names: Sequence[str], shares: np.ndarray) -> str:
    """The likeliest name, or nothing where the sensor cannot tell (all shares alike)."""
    return names[int(shares.argmax())] if shares.max() > 1.5 / len(names) else ""
