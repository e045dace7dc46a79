# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic scenes for the text stages: random objects, without rendering."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..rig import Rig
from ..simulator.questions.proposals import LIGHT_STATES, QUESTION_COLOURS
from ..simulator.questions.scene_graph import MAX_RANGE, STATUSES_OF
from ..simulator.truth import CATEGORIES, VEHICLES, EgoMotion, SceneObject, SceneTruth, TrafficLight, Weather


def synthetic_scene(rng: np.random.Generator, rig: Rig, most: int) -> SceneTruth:
    """A random scene of at most `most` objects, all fully visible to every sensor of `rig`."""
    shown = {mount.name: 1000 for mount in rig.cameras}
    frequent = rng.choice(len(CATEGORIES), size=4)
    objects = []
    for identifier in range(rng.integers(0, most + 1)):
        # Categories repeat within a scene; otherwise most counts would be zero or one.
        pick = rng.choice(frequent) if rng.random() < 0.6 else rng.integers(len(CATEGORIES))
        category = CATEGORIES[pick]
        statuses = STATUSES_OF.get(category, ("",))
        distance, bearing = rng.uniform(2.0, MAX_RANGE), rng.uniform(-math.pi, math.pi)
        colour = QUESTION_COLOURS[rng.integers(len(QUESTION_COLOURS))] if category in VEHICLES else ""
        objects.append(
            SceneObject(
                identifier=identifier,
                category=category,
                status=statuses[rng.integers(len(statuses))],
                position=(distance * math.cos(bearing), distance * math.sin(bearing), 0.0),
                yaw=0.0,
                size=(1.0, 1.0, 1.0),
                velocity=(0.0, 0.0),
                colour=colour,
                pixels=shown,
                clear_pixels=shown,
                returns=1000,
                clear_returns=1000,
            )
        )
    light = None
    if rng.random() < 0.5:
        light = TrafficLight(LIGHT_STATES[rng.integers(len(LIGHT_STATES))], (20.0, 0.0, 5.0), shown, shown)
    speed = rng.choice([0.0, rng.uniform(1.0, 14.0)], p=[0.25, 0.75])
    ego = EgoMotion(
        speed, float(rng.choice([0.0, 0.0, 0.2, -0.2])) * (speed > 0), float(rng.choice([0.0, 1.5, -1.5])) * (speed > 0)
    )
    return SceneTruth(0, "synthetic", "synthetic", Weather(), ego, tuple(objects), light)


def rearrange(truth: SceneTruth, rng: np.random.Generator) -> SceneTruth:
    """A scene rotated about the ego vehicle by a random angle, without up to 30 % of its objects."""
    angle = rng.uniform(-math.pi, math.pi)
    sine, cosine = math.sin(angle), math.cos(angle)
    share = 0.3 * rng.random()
    return replace(
        truth,
        objects=tuple(
            replace(item, position=(cosine * x - sine * y, sine * x + cosine * y, z))
            for item in truth.objects
            if rng.random() >= share
            for x, y, z in (item.position,)
        ),
    )
