# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small synthetic scenes for tests of questions: no rendering, only truths."""

from __future__ import annotations

import math

import numpy as np

from mmllm_ros.rig import CameraMount, ImuMount, LidarMount, Rig
from mmllm_ros.simulator.questions.scene_graph import STATUSES_OF
from mmllm_ros.simulator.truth import CATEGORIES, EgoMotion, SceneObject, SceneTruth, TrafficLight, Weather

FRONT = Rig("front", (CameraMount("front", "front", 0.0, math.radians(70.0)),))
AROUND = Rig(
    "around", tuple(CameraMount(f"c{angle}", "", math.radians(angle), math.radians(70.0)) for angle in range(0, 360, 60))
)
SIGHT_ONLY = Rig("sight_only", AROUND.cameras, None, None)
NO_CAMERA = Rig("no_camera", (), LidarMount(), ImuMount())

DRIVING = EgoMotion(5.0, 0.0, 0.0)
NOON = Weather()
_COLOURS = ("black", "white", "red", "blue")


def thing(category: str, x: float, y: float, status: str = "", colour: str = "", **sight) -> SceneObject:
    """An object seen clearly by every camera of AROUND and FRONT and by the lidar, unless `sight` says otherwise."""
    everywhere = {mount.name: 50 for mount in (*AROUND.cameras, *FRONT.cameras)}
    counts = {"pixels": everywhere, "clear_pixels": everywhere, "returns": 40, "clear_returns": 40, **sight}
    return SceneObject(0, category, status, (x, y, 0.8), 0.0, (4.0, 1.8, 1.6), (0.0, 0.0), colour, **counts)


def scene(*objects: SceneObject, ego: EgoMotion = DRIVING, light: str = "", weather: Weather = NOON) -> SceneTruth:
    """A truth with these objects, numbered in order."""
    everywhere = {mount.name: 20 for mount in (*AROUND.cameras, *FRONT.cameras)}
    shown = TrafficLight(light, (20.0, 0.0, 5.0), everywhere, everywhere) if light else None
    numbered = tuple(_renamed(item, index) for index, item in enumerate(objects))
    return SceneTruth(0, "scene", "token", weather, ego, numbered, shown)


def random_scene(rng: np.random.Generator) -> SceneTruth:
    """Up to twenty objects around the ego vehicle, cars the most common, some hidden from one sensor or both."""
    weights = np.array([1, 8, 1, 1, 2, 1, 1, 4, 2, 2], dtype=float)
    objects = []
    for _ in range(int(rng.integers(0, 21))):
        category = str(rng.choice(CATEGORIES, p=weights / weights.sum()))
        statuses = STATUSES_OF.get(category, ("",))
        radius, angle = rng.uniform(4.0, 34.0), rng.uniform(-math.pi, math.pi)
        camera, lidar = int(rng.integers(0, 60)), int(rng.integers(0, 30))
        pixels = {mount.name: camera for mount in (*AROUND.cameras, *FRONT.cameras)}
        objects.append(
            thing(
                category, radius * math.cos(angle), radius * math.sin(angle),
                str(rng.choice(statuses)), str(rng.choice(_COLOURS)),
                pixels=pixels, clear_pixels={name: int(count * rng.uniform()) for name, count in pixels.items()},
                returns=lidar, clear_returns=int(lidar * rng.uniform()),
            )
        )  # fmt: skip
    ego = EgoMotion(float(rng.choice((0.0, 6.0))), float(rng.choice((-0.2, 0.0, 0.2))), float(rng.choice((-2.0, 0.0, 2.0))))
    return scene(*objects, ego=ego, light=str(rng.choice(("", "red", "yellow", "green"))))


def _renamed(item: SceneObject, identifier: int) -> SceneObject:
    return SceneObject(**{**{name: getattr(item, name) for name in SceneObject.__dataclass_fields__}, "identifier": identifier})
