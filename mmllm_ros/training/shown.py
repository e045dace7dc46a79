# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the tokens of a frame show: matched with the nearest object, each is labelled as a perfect sensor would read it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..encoders.proposals import CLASSES, COLOURS, STATUSES
from ..latent.votes import BEARING_UNIT, RANGE_UNIT
from ..rig import Rig
from ..simulator.scene_graph import SceneGraph
from ..simulator.truth import SceneTruth
from .targets import ABSENT, label_of

FARTHEST_MATCH = 2.0
"""How many units of votes.py a token may be away from what it shows."""


def shown(truth: SceneTruth, rig: Rig, places: np.ndarray) -> np.ndarray:
    """Labels int8 [T, 4] of tokens at `places`, float [T, 3]: whether there is an object, its class, status and colour.

    ABSENT where that does not apply; pooled tokens, whose range is 0, show no one thing.
    """
    labels = np.full((len(places), 4), ABSENT, np.int8)
    single = places[:, 2] > 0
    labels[single, 0] = 0
    objects = SceneGraph(truth, rig).objects if single.any() else ()
    for index, token in nearest_matches([item.position for item in objects], places):
        item = objects[index]
        labels[token] = 1, label_of(CLASSES, item.category), label_of(STATUSES, item.status), label_of(COLOURS, item.colour)
    return labels


def nearest_matches(positions: Sequence[tuple[float, float, float]], places: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (object, token), each object and each token at most once, the closest pairs first; pooled tokens match nothing."""
    if not positions:
        return []
    x, y, _ = np.array(positions).T
    turn = np.angle(np.exp(1j * (np.arctan2(y, x)[:, None] - places[None, :, 0])))
    far = np.log(np.maximum(np.hypot(x, y), 0.5))[:, None] - np.log(np.maximum(places[None, :, 2], 0.5))
    apart = np.hypot(turn / BEARING_UNIT, far / RANGE_UNIT)
    apart[:, places[:, 2] == 0] = np.inf
    pairs = []
    while apart.size and apart.min() <= FARTHEST_MATCH:
        index, token = np.unravel_index(apart.argmin(), apart.shape)
        pairs.append((int(index), int(token)))
        apart[index], apart[:, token] = np.inf, np.inf
    return pairs
