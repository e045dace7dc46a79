# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a detector would report of a layout: misses, false alarms, wrong classes, jitter, uncertain ranges; each scene another
detector."""

from __future__ import annotations

import math

import numpy as np

from ..encoders.objects import CATEGORIES, Detection
from ..encoders.proposals import COLOURS, STATUSES
from ..simulator.truth import SceneObject, SceneTruth

PERFECT = 0.35
"""Share of detectors that report the truth."""
CONFUSED = {
    "bus": ("truck", "trailer"), "car": ("truck",), "construction vehicle": ("truck",), "trailer": ("truck",),
    "truck": ("car", "bus", "construction vehicle", "trailer"), "bicycle": ("motorcycle", "pedestrian"),
    "motorcycle": ("bicycle",), "pedestrian": ("bicycle",), "traffic cone": ("barrier",), "barrier": ("traffic cone",),
}  # fmt: skip
"""What each class is mistaken for."""


def detect(truth: SceneTruth, view: tuple[float, float], rng: np.random.Generator) -> list[Detection]:
    """Detections of the objects of `truth` by a detector drawn with `rng`; its scores are as sure as they are right."""
    perfect = rng.random() < PERFECT
    noise = 0.0 if perfect else rng.uniform(0.02, 1.0)
    statuses, colours = rng.random() < 0.5, rng.random() < 0.3
    spread = 0.0 if perfect else rng.choice((0.02, 0.06, 0.15, 0.25))
    turn, clear = 0.01 * noise, 7.0 - 4.5 * noise
    found = []
    for item in truth.objects:
        detection = _seen(item, clear, perfect, spread, turn, statuses, colours, rng)
        if detection.score > 0.08:
            found.append(detection)
    for _ in range(0 if perfect else rng.poisson(3 * noise)):
        false = _false_alarm(view, clear, spread, rng)
        if false.score > 0.08:
            found.append(false)
    return found


def _seen(
    item: SceneObject,
    clear: float,
    perfect: bool,
    spread: float,
    turn: float,
    statuses: bool,
    colours: bool,
    rng: np.random.Generator,
) -> Detection:
    x, y, z = item.position
    away = math.hypot(x, y)
    farther = 1.0 if perfect else 1.0 - 0.5 * min(away, 60.0) / 60.0
    score = 0.98 if perfect else _probability(True, clear * farther, rng)
    classes = _classes(item.category, 12.0 if perfect else clear * farther, rng)
    return Detection(
        score,
        classes,
        math.atan2(y, x) + turn * rng.standard_normal(),
        math.atan2(z, away) + turn * rng.standard_normal(),
        away * math.exp(spread * float(np.clip(rng.standard_normal(), -2, 2))),
        spread,
        _posterior(STATUSES, item.status, 6.0, rng) if statuses and item.status else None,
        _posterior(COLOURS, item.colour, 3.0, rng) if colours and item.colour in COLOURS else None,
    )


def _probability(true: bool, clear: float, rng: np.random.Generator) -> float:
    """Of something that is there or is not, by one who hears it through unit noise at clearness `clear`, even odds before."""
    return 1 / (1 + math.exp(-((0.5 if true else -0.5) * clear * clear + clear * rng.standard_normal())))


def _posterior(names: tuple[str, ...], true: str, clear: float, rng: np.random.Generator) -> np.ndarray:
    logits = np.array([clear * clear * (name == true) + clear * rng.standard_normal() for name in names])
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def _classes(category: str, clear: float, rng: np.random.Generator) -> np.ndarray:
    """A posterior over the class and those that it is mistaken for."""
    names = (category, *CONFUSED[category])
    shares = dict(zip(names, _posterior(names, category, clear, rng)))
    return np.array([0.995 * shares.get(name, 0.0) + 0.005 / len(CATEGORIES) for name in CATEGORIES])


def _false_alarm(view: tuple[float, float], clear: float, spread: float, rng: np.random.Generator) -> Detection:
    away, bearing = 3.0 * 20.0 ** rng.random(), view[0] + view[1] * rng.uniform(-1, 1)
    classes = _classes(str(rng.choice(CATEGORIES)), clear, rng)
    return Detection(_probability(False, 0.6 * clear, rng), classes, bearing, 0.0, away, spread)
