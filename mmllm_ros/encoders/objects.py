# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Detections of any perception stack -> tokens that the modality-agnostic connector reads without training.

A token has the layout of proposals.py without a private feature: objectness, class, status and colour, each a distribution, and
the place. Object tokens are sorted by objectness and padded with empty ones; sector tokens carry the expected number of objects
of each kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..angles import wrapped
from ..datatypes import BadInput, Detection, Tokens
from .proposals import ATTRIBUTES, CLASSES, COLOURS, STATUSES

TOKEN_WIDTH = 1 + ATTRIBUTES
"""One number that is always zero, for a connector normalizes at least one, and the predicted attributes."""
CATEGORIES = CLASSES[:10]
"""The classes that a detection can be of; the last three of CLASSES are states of a traffic light."""
REVISION = "objects 1"
"""The encoder of these tokens; it has no weights."""
LEAST_TOKENS, MOST_TOKENS, SECTORS = 16, 48, 12
NOTHING = 0.002
"""Objectness of an empty token."""
SPREAD = 0.12
"""A detection whose range is less certain than this (standard deviation of the natural logarithm) becomes three tokens."""
_NODES = ((-1.2, 0.25), (0.0, 0.5), (1.2, 0.25))
"""Where on the line of sight, in standard deviations, and with which weight."""


def distribution(names: Sequence[str], weights: Mapping[str, float], floor: float = 0.0) -> np.ndarray:
    """Weights by name -> probabilities [len(names)]; `floor` is shared by all. Raises BadInput for a name that is none of
    `names`."""
    unknown = [name for name in weights if name not in names]
    if unknown:
        raise BadInput(f"{unknown[0]!r} is not one of {list(names)}")
    shares = np.array([floor / len(names) + weights.get(name, 0.0) for name in names])
    if not (np.isfinite(shares).all() and shares.min() >= 0 and shares.sum() > 0):
        raise BadInput(f"weights {dict(weights)} are not positive numbers")
    return shares / shares.sum()


def located(position: Sequence[float]) -> tuple[float, float, float]:
    """Bearing, elevation [rad] and horizontal range [m], at least 0.5, of a position [m] in the base frame."""
    x, y, z = position
    distance = max(math.hypot(x, y), 0.5)
    return math.atan2(y, x), math.atan2(z, distance), distance


def object_tokens(
    detections: Sequence[Detection],
    stamp: int,
    source: str = "objects",
    modality: str = "objects",
    encoder: str = REVISION,
    view: tuple[float, float] = (0.0, math.pi),
) -> Tokens:
    """Tokens of simultaneous detections.

    Args:
        detections: in any order; of more than MOST_TOKENS the surest are kept.
        stamp: of the sensor data [ns].
        source, modality, encoder: as in Tokens.
        view: bearing of the middle and half of the width [rad] of the field of view, which the sectors divide.

    Returns values float32 [T, TOKEN_WIDTH] and places [T, 3] in the base frame.
    """
    parts = [part for detection in detections for part in _parts(detection)]
    parts.sort(key=lambda part: -part[0][1])
    parts = parts[:MOST_TOKENS]
    empty = _empty(max(0, LEAST_TOKENS - len(parts)), view)
    values = np.stack([part[0] for part in (*parts, *empty)])
    places = np.stack([part[1] for part in (*parts, *empty)])
    pooled = _pooled(values, places[:, 0], view)
    values, places = np.concatenate([values, pooled[0]]), np.concatenate([places, pooled[1]])
    return Tokens(modality, source, stamp, values.astype(np.float32), places.astype(np.float32), encoder)


def _parts(detection: Detection) -> list[tuple[np.ndarray, np.ndarray]]:
    classes = np.concatenate([detection.classes, np.zeros(len(CLASSES) - len(CATEGORIES))])
    statuses = np.full(len(STATUSES), 1 / len(STATUSES)) if detection.statuses is None else detection.statuses
    colours = np.full(len(COLOURS), 1 / len(COLOURS)) if detection.colours is None else detection.colours
    nodes = _NODES if detection.spread > SPREAD else ((0.0, 1.0),)
    return [
        (
            np.concatenate([[0.0, detection.score * weight], classes, statuses, colours]),
            np.array([wrapped(detection.bearing), detection.elevation, detection.distance * math.exp(step * detection.spread)]),
        )
        for step, weight in nodes
    ]


def _empty(count: int, view: tuple[float, float]) -> list[tuple[np.ndarray, np.ndarray]]:
    even = [np.full(len(names), 1 / len(names)) for names in (CLASSES, STATUSES, COLOURS)]
    values = np.concatenate([[0.0, NOTHING], *even])
    bearings = [view[0] + view[1] * (2 * (index + 0.5) / count - 1) for index in range(count)]
    return [(values, np.array([wrapped(b), 0.0, 6.0 + 4.0 * (index % 6)])) for index, b in enumerate(bearings)]


def _pooled(values: np.ndarray, bearings: np.ndarray, view: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    number = ((wrapped(bearings - view[0]) / view[1] + 1) / 2 * SECTORS).astype(int).clip(0, SECTORS - 1)
    expected = np.zeros((SECTORS, TOKEN_WIDTH))
    weighed = np.concatenate([values[:, :2], values[:, 1:2] * values[:, 2:]], axis=1)
    np.add.at(expected, number, weighed)
    looks = wrapped(view[0] + view[1] * ((2 * np.arange(SECTORS) + 1) / SECTORS - 1))
    return expected, np.stack([looks, np.zeros(SECTORS), np.zeros(SECTORS)], axis=1)
