# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The colour of the object in a box, by its pixels."""

from __future__ import annotations

import cv2
import numpy as np

from .proposals import COLOURS

SURE = 0.8
"""Share of the answer that rests on the pixels; the rest is even, for shade and reflections mislead."""
LEAST_PIXELS = 30
_HUES = {"red": 0.0, "yellow": 52.0, "green": 120.0, "blue": 220.0}


def box_colours(image: np.ndarray, corners: np.ndarray) -> np.ndarray | None:
    """Probability of each of COLOURS, [6]; None where a box has too few pixels. `image` is uint8 [h, w, 3] RGB."""
    left, top, right, bottom = corners
    width, height = right - left, bottom - top
    # The middle of a box is the object; its upper third is windows, its lowest part wheels and road.
    part = image[int(top + 0.35 * height) : int(top + 0.75 * height), int(left + 0.2 * width) : int(right - 0.2 * width)]
    if part.shape[0] * part.shape[1] < LEAST_PIXELS:
        return None
    hue, saturation, value = (channel.astype(float).ravel() for channel in cv2.split(cv2.cvtColor(part, cv2.COLOR_RGB2HSV)))
    vivid = (saturation > 90) & (value > 50)
    counts = {"black": (~vivid & (value < 80)).sum(), "white": (~vivid & (value > 150)).sum()}
    hue = 2.0 * hue[vivid]
    for name, middle in _HUES.items():
        counts[name] = (np.abs((hue - middle + 180.0) % 360.0 - 180.0) < 30.0).sum()
    shares = np.array([float(counts[name]) for name in COLOURS])
    if not shares.any():
        return None
    return SURE * shares / shares.sum() + (1 - SURE) / len(COLOURS)
