# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a moment teaches the tokens of each kind of signal: attributes of the sectors that they look to, and answers."""

from __future__ import annotations

import math

import numpy as np

from ...encoders.proposals import COLOURS
from ...simulator.questions.scene_graph import MIN_PIXELS
from ...simulator.questions.signal_questions import AUDIBLE, KINDS, SignalTruth
from ...simulator.signal_moment import FOV, SignalMoment
from ...simulator.truth import CATEGORIES, SceneObject

SECTORS = 16
"""Sectors of a field of view, one per token, from left to right."""
TEMPLATES = tuple(KINDS)
SOUNDS = ("siren", "horn", "reversing beeper", "engine", "footsteps")
LIDAR_HEIGHT = 1.8
CAMERA_X = 1.5
LEAST_RETURNS = 5
"""Lidar returns of an object that a point cloud shows."""
PATCH = 16
"""Height and width of a patch of the view [px], for which the backbone has a token."""
PATCHES = ("patch_object", "patch_colour", "patch_range")
"""Targets of the patches of the view, [rows, columns] each."""
LEAST_PIXELS = 12
"""Pixels of an object that a patch shows."""


def answers_of(truth: SignalTruth) -> list[str | None]:
    """The answer to each of TEMPLATES, None where it is not clear."""
    return [KINDS[name].answer(truth) for name in TEMPLATES]


def sector_targets(moment: SignalMoment) -> dict[str, np.ndarray]:
    """By name: float32 [SECTORS] ranges [m], 0 = unknown; int64 [SECTORS] classes, 0 = none; float32 [SECTORS, sounds], 0 or 1.

    `ahead_...` are sectors of the camera's view, `around_...` of a full turn. PATCHES are of the patches of the view: class and
    colour, 0 = none, and range.
    """
    truth = moment.truth
    ahead, colours = _objects(truth.scene.objects, FOV, lambda item: max(item.clear_pixels.values(), default=0) >= MIN_PIXELS)
    around, _ = _objects(truth.scene.objects, 2 * math.pi, lambda item: item.clear_returns >= LEAST_RETURNS)
    return {
        "ahead_range": _ranges_ahead(moment.signals["depth"][0], moment.signals["normals"]),
        "ahead_object": ahead,
        "ahead_colour": colours,
        "around_range": _ranges_around(moment.signals["points"]),
        "around_object": around,
        "around_sound": _sounds(truth),
        "around_clearance": _clearances(truth),
        **_patches(moment),
        "motion": np.float32([truth.scene.ego.speed / 10, truth.scene.ego.yaw_rate * 5, truth.scene.ego.acceleration / 2]),
    }


def _objects(items: tuple[SceneObject, ...], fov: float, seen) -> tuple[np.ndarray, np.ndarray]:
    """Class and colour of the nearest object of each sector, 0 = none."""
    classes, colours = np.zeros(SECTORS, np.int64), np.zeros(SECTORS, np.int64)
    for item in sorted(items, key=lambda item: -math.hypot(*item.position[:2])):
        if not seen(item):
            continue
        x, y = item.position[0] - (CAMERA_X if fov < math.pi else 0.0), item.position[1]
        half = 0.5 * max(item.size[:2]) / max(math.hypot(x, y), 0.5 * max(item.size[:2]), 0.1)
        for sector in _between(math.atan2(y, x) + half, math.atan2(y, x) - half, fov):
            classes[sector] = 1 + CATEGORIES.index(item.category)
            colours[sector] = 1 + COLOURS.index(item.colour) if item.colour in COLOURS else 0
    return classes, colours


def _between(left: float, right: float, fov: float) -> list[int]:
    """The sectors from bearing `left` to `right`; those outside of a camera's view are left out."""
    first, last = (math.floor((0.5 - bearing / fov) * SECTORS) for bearing in (left, right))
    around = fov > math.pi
    return [n % SECTORS if around else n for n in range(first, min(last, first + SECTORS - 1) + 1) if around or 0 <= n < SECTORS]


def _ranges_ahead(depth: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The third smallest depth of upright pixels in each sector of the view."""
    width = depth.shape[1]
    across = (width / 2 - np.arange(width) - 0.5) / (width / 2) * math.tan(FOV / 2)
    sector = np.clip(((0.5 - np.arctan(across) / FOV) * SECTORS).astype(int), 0, SECTORS - 1)
    upright = np.where((depth > 0) & (np.abs(normals[2]) < 0.7), depth, np.inf)
    nearest = np.zeros(SECTORS, np.float32)
    for number in range(SECTORS):
        values = np.partition(upright[:, sector == number], 2, axis=None)[2]
        nearest[number] = values if np.isfinite(values) else 0.0
    return nearest


def _ranges_around(points: np.ndarray) -> np.ndarray:
    """The nearest return over the ground and under the height of a vehicle in each sector around the lidar."""
    high = points[(points[:, 2] > 0.3 - LIDAR_HEIGHT) & (points[:, 2] < 0.7)]
    sector = np.clip(((0.5 - np.arctan2(high[:, 1], high[:, 0]) / (2 * math.pi)) * SECTORS).astype(int), 0, SECTORS - 1)
    nearest = np.full(SECTORS, np.inf, np.float32)
    np.minimum.at(nearest, sector, np.hypot(high[:, 0], high[:, 1]))
    return np.where(np.isfinite(nearest), nearest, 0.0)


def _patches(moment: SignalMoment) -> dict[str, np.ndarray]:
    """Class and colour of the object with most pixels in each patch, and the median range."""
    rows, columns = (length // PATCH for length in moment.owner.shape)

    def cut(pixels: np.ndarray) -> np.ndarray:
        return pixels.reshape(rows, PATCH, columns, PATCH).swapaxes(1, 2).reshape(rows, columns, -1)

    classes, colours, most = (np.zeros((rows, columns), np.int64) for _ in range(3))
    owner = cut(moment.owner)
    for item in moment.truth.scene.objects:
        count = (owner == item.identifier).sum(-1)
        mask = (count >= LEAST_PIXELS) & (count > most)
        classes[mask] = 1 + CATEGORIES.index(item.category)
        colours[mask] = 1 + COLOURS.index(item.colour) if item.colour in COLOURS else 0
        most[mask] = count[mask]
    depth = cut(moment.signals["depth"][0])
    ranges = np.sort(depth, -1)[..., depth.shape[-1] // 2].astype(np.float32)
    return {"patch_object": classes, "patch_colour": colours, "patch_range": ranges}


def _sounds(truth: SignalTruth) -> np.ndarray:
    heard = np.zeros((SECTORS, len(SOUNDS)), np.float32)
    for clear, source in zip(truth.clearness, truth.sounds, strict=True):
        if clear > AUDIBLE and source.kind in SOUNDS:
            heard[_between(source.bearing, source.bearing, 2 * math.pi), SOUNDS.index(source.kind)] = 1.0
    return heard


def _clearances(truth: SignalTruth) -> np.ndarray:
    """The clearance on the side of each sector; 10 m where nothing is in reach."""
    middle = (0.5 - (np.arange(SECTORS) + 0.5) / SECTORS) * 360.0
    side = np.array(["ahead", "left", "behind", "right"])[np.round(middle / 90.0).astype(int) % 4]
    return np.float32([min(truth.clearance[name], 10.0) for name in side])
