# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Textures without images: lanes, zebra crossings and pavements on the ground, windows on the walls."""

from __future__ import annotations

import numpy as np

from .town import LANE, SIDEWALK, STOP_LINE, Town

_GRASS = np.array([0.06, 0.11, 0.03], np.float32)
_STONE = np.array([1.02, 1.0, 0.98], np.float32)
_PAVED, _ASPHALT, _KERB, _PAINT = 0.26, 0.087, 0.42, 0.74


def _stripe(offset: np.ndarray, half: float, blur: np.ndarray) -> np.ndarray:
    """The share of a pixel of width `blur` covered by a stripe whose centre is at distance `offset`."""
    return np.clip((half - np.abs(offset)) / blur + 0.5, 0.0, np.minimum(1.0, 2 * half / blur))


def _fold(value: np.ndarray, period: float) -> np.ndarray:
    return np.mod(value + period / 2, period) - period / 2


def ground_look(town: Town, points: np.ndarray, blur: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour [N, 3] and lidar reflectance [N] of the ground at points [N, 2]; `blur` [N] is a pixel's size there [m]."""
    blur = np.maximum(blur, 0.02).astype(np.float32)
    u, v = _fold(points[:, 0], town.pitch[0]), _fold(points[:, 1], town.pitch[1])
    across = np.minimum(np.abs(u), np.abs(v))
    half = town.half
    paint = np.zeros(len(points), np.float32)
    for along, side, forward in ((u, v, 1.0), (v, u, -1.0)):
        # `along` is measured from the crossing, `side` from the middle of the street that runs that way.
        gap = np.abs(along) - half
        street = np.flatnonzero((np.abs(side) < half) & (gap > 0))
        a, s, g, b = along[street], side[street], gap[street], blur[street]
        open_road = g > STOP_LINE - 0.2
        lines = _stripe(s, 0.1, b)
        lines = np.maximum(lines, _stripe(np.abs(s) - town.lanes * LANE, 0.07, b))
        if town.lanes > 1:
            lines = np.maximum(lines, _stripe(np.abs(s) - LANE, 0.07, b) * (np.mod(a, 6.0) < 3.0))
        zebra = _stripe(_fold(s, 1.0), 0.25, b) * ((g > 0.4) & (g < SIDEWALK - 0.2))
        stop = _stripe(g - STOP_LINE, 0.22, b) * ((a * s * forward > 0) & (np.abs(s) < town.lanes * LANE))
        paint[street] = np.maximum(np.maximum(lines * open_road, zebra), stop)
    paved = np.clip((half + SIDEWALK - across) / blur + 0.5, 0, 1)
    asphalt = np.clip((half - across) / blur + 0.5, 0, 1)
    kerb = _stripe(across - half - 0.1, 0.12, blur) * (across > half - 0.2)
    slabs = 1 - 0.25 * np.maximum(_stripe(_fold(points[:, 0], 1.5), 0.03, blur), _stripe(_fold(points[:, 1], 1.5), 0.03, blur))
    grain = 1 + 0.12 * np.sin(points[:, 0] * 1.7 + points[:, 1] * 0.6) * np.sin(points[:, 1] * 2.3 - points[:, 0] * 0.4)
    # Everything except grass is grey, so it is mixed as one number and coloured once.
    bare = (1 - kerb) * (1 - 0.85 * paint)
    grey = (_PAVED * slabs * paved * (1 - asphalt) + _ASPHALT * asphalt) * grain * bare
    grey += _KERB * kerb * (1 - 0.85 * paint) + _PAINT * (0.85 * paint)
    grass = (1 - paved) * (1 - asphalt) * grain * bare
    colour = grey[:, None] * _STONE + grass[:, None] * _GRASS
    reflectance = 0.35 - 0.1 * paved - 0.12 * asphalt + 0.6 * paint
    return colour, reflectance


def facade_look(points: np.ndarray, normals: np.ndarray, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour [N, 3] of walls with windows at points [N, 3], and [N] how much of each is a window that is lit at night."""
    along = np.where(np.abs(normals[:, 1]) > np.abs(normals[:, 0]), points[:, 0], points[:, 1])
    column, row = np.floor(along / 2.6), np.floor(points[:, 2] / 3.0)
    x, z = along - column * 2.6, points[:, 2] - row * 3.0
    window = (x > 0.7) & (x < 1.9) & (z > 1.0) & (z < 2.4) & (np.abs(normals[:, 2]) < 0.5)
    chance = np.mod(np.sin(column * 12.9898 + row * 78.233) * 43758.5453, 1.0)
    colour = np.where(window[:, None], np.array([0.06, 0.08, 0.11], np.float32), colour)
    return colour, (window & (chance < 0.22)).astype(np.float32)
