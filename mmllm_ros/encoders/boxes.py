# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Boxes in an image: tiles of wide images, and duplicate suppression across tiles and classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

TILE_ASPECT = 1.35
"""An image wider than this, width over height, is cut into tiles."""
OVERLAP, CONTAINED = 0.5, 0.75
"""Of two boxes that overlap by more (intersection over union; over the smaller one where a tile cut it) the weaker one goes."""
CUT = 3.0
"""A box that ends this near [pixels] to an inner edge of its tile is taken to be cut by it."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """n boxes of one image. `corners` float64 [n, 4] is left, top, right, bottom in pixels; `scores` [n, classes] in [0, 1];
    `cut` bool [n] says whether an inner edge of a tile cuts a box."""

    corners: np.ndarray
    scores: np.ndarray
    cut: np.ndarray

    def of(self, chosen: np.ndarray) -> Boxes:
        """Some of the boxes, by mask or by number."""
        return Boxes(self.corners[chosen], self.scores[chosen], self.cut[chosen])

    def __len__(self) -> int:
        return len(self.corners)


def tiles(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height of the square tiles that cover a wide image with at least a sixth overlap; else the whole
    image."""
    if width <= TILE_ASPECT * height:
        return [(0, 0, width, height)]
    count = max(2, math.ceil((width - height / 6) / (height * 5 / 6)))
    lefts = np.linspace(0, width - height, count).round().astype(int)
    return [(int(left), 0, height, height) for left in lefts]


def joined(parts: list[tuple[tuple[int, int, int, int], np.ndarray, np.ndarray]], width: int) -> Boxes:
    """Boxes of tiles in tile pixels, each (tile, corners [n, 4], scores [n, classes]), as boxes of the whole image."""
    corners, scores, cut = [], [], []
    for (left, top, tile_width, _), found, shares in parts:
        moved = found + np.array([left, top, left, top])
        inner_left = (left > 0) & (found[:, 0] < CUT)
        inner_right = (left + tile_width < width) & (found[:, 2] > tile_width - CUT)
        corners.append(moved)
        scores.append(shares)
        cut.append(inner_left | inner_right)
    return Boxes(np.concatenate(corners), np.concatenate(scores), np.concatenate(cut))


def suppressed(boxes: Boxes) -> Boxes:
    """The boxes without duplicates, surest first; a cut box goes where a whole one shows the object."""
    order = np.argsort(-(boxes.scores.max(1, initial=0.0) - 0.5 * boxes.cut))
    boxes = boxes.of(order)
    area = (boxes.corners[:, 2] - boxes.corners[:, 0]) * (boxes.corners[:, 3] - boxes.corners[:, 1])
    kept: list[int] = []
    for index in range(len(boxes)):
        if not kept:
            kept.append(index)
            continue
        common = overlap_area(boxes.corners[index], boxes.corners[kept])
        union = area[index] + area[kept] - common
        smaller = np.minimum(area[index], area[kept])
        cut = boxes.cut[index] | boxes.cut[kept]
        if not ((common > OVERLAP * union) | (cut & (common > CONTAINED * smaller))).any():
            kept.append(index)
    return boxes.of(np.array(kept, dtype=int))


def overlap_area(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Areas [n] [pixels squared] that box [4] shares with boxes [n, 4]."""
    width = np.minimum(one[2], others[:, 2]) - np.maximum(one[0], others[:, 0])
    height = np.minimum(one[3], others[:, 3]) - np.maximum(one[1], others[:, 1])
    return np.maximum(width, 0.0) * np.maximum(height, 0.0)
