# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The visible objects of a scene, their directions relative to each other, and the modalities that see each of them clearly.

Sets of objects are integer bit masks: bit i stands for `objects[i]`. `ME` is the index of the ego vehicle in relations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from ...rig import Rig
from ..truth import CATEGORIES, CYCLES, VEHICLES, EgoMotion, SceneObject, SceneTruth, TrafficLight

ME = -1
SIDES = {"left": ("front left", "back left"), "right": ("front right", "back right")}
"""Two more directions, each of two of the six."""
DIRECTIONS = ("front", "front left", "front right", "back left", "back right", "back")

MIN_PIXELS = 12
"""A car at 35 m fills about 6 x 5 pixels of an 80 x 160 image of 70 degrees; half hidden, its shape is still recognizable."""
MIN_RETURNS = 6
"""A pedestrian at 20 m gives about two columns on four of 32 rings; with fewer, a cone and a person look the same."""
MIN_LIGHT_PIXELS = 6
"""A traffic light is recognized by its colour, which needs fewer pixels than a shape."""
MAX_RANGE = 35.0
"""Beyond this range [m] neither sensor of the shipped rigs can classify an object."""

STATUSES_OF = {
    **dict.fromkeys(VEHICLES, ("moving", "stopped", "parked")),
    **dict.fromkeys(CYCLES, ("with rider", "without rider")),
    "pedestrian": ("moving", "standing", "not standing"),
}
"""The statuses that a category can have; cones and barriers have none."""


def direction(dx: float, dy: float) -> str:
    """The direction of a displacement (dx, dy) [m] in the ego axes, one of DIRECTIONS."""
    angle = math.degrees(math.atan2(dy, dx))
    if abs(angle) <= 30.0:
        return "front"
    if abs(angle) > 150.0:
        return "back"
    return ("front " if abs(angle) <= 90.0 else "back ") + ("left" if angle > 0 else "right")


def turn(ego: EgoMotion) -> str | None:
    """One of "turning left", "turning right" and "going straight", or None where the yaw rate is ambiguous."""
    if abs(ego.yaw_rate) >= 0.08:
        return "turning left" if ego.yaw_rate > 0 else "turning right"
    return "going straight" if abs(ego.yaw_rate) <= 0.03 else None


def moving(ego: EgoMotion) -> bool | None:
    """Whether the ego vehicle moves, None where its speed is ambiguous."""
    return True if ego.speed >= 0.8 else False if ego.speed <= 0.15 else None


def speed_change(ego: EgoMotion, sign: float) -> bool | None:
    """Whether the ego vehicle accelerates (sign +1) or brakes (sign -1), None where its acceleration is ambiguous."""
    strength = sign * ego.acceleration
    return True if strength >= 0.8 else False if strength <= 0.3 else None


class SceneGraph:
    """The visible objects of one scene for one rig, as bit masks.

    `categories` and `statuses` are masks by name. `in_camera` are the objects with enough pixels before light and weather;
    `seen` are by modality those that it sees clearly. `sees` is by modality whether it clearly sees at least half of what
    it would see in good conditions. `covered` are the directions that the cameras cover completely.
    """

    def __init__(self, truth: SceneTruth, rig: Rig):
        cameras = [mount.name for mount in rig.cameras]
        self.truth, self.rig = truth, rig
        self.objects: list[SceneObject] = [item for item in truth.objects if _visible(item, cameras, rig)]
        self.everything = (1 << len(self.objects)) - 1
        self.categories = dict.fromkeys(CATEGORIES, 0)
        self.statuses = {status: 0 for statuses in STATUSES_OF.values() for status in statuses}
        self.in_camera = 0
        self.seen = {"camera": 0, "lidar": 0}
        raw_returns = 0
        for index, item in enumerate(self.objects):
            bit = 1 << index
            self.categories[item.category] |= bit
            if item.status in STATUSES_OF.get(item.category, ()):
                self.statuses[item.status] |= bit
            self.in_camera |= bit * (most_seen(item.pixels, cameras) >= MIN_PIXELS)
            self.seen["camera"] |= bit * (most_seen(item.clear_pixels, cameras) >= MIN_PIXELS)
            if rig.lidar:
                raw_returns |= bit * (item.returns >= MIN_RETURNS)
                self.seen["lidar"] |= bit * (item.clear_returns >= MIN_RETURNS)
        self._rows: dict[int, dict[str, int]] = {}
        self.covered = tuple(where for where in DIRECTIONS if self.covers("camera", where))
        self.light = truth.traffic_light if _light_pixels(truth.traffic_light, cameras, "pixels") else None
        self.light_clear = _light_pixels(truth.traffic_light, cameras, "clear_pixels")
        self.sees = {
            "camera": bool(rig.cameras)
            and self._mostly(self.in_camera, self.seen["camera"], truth.weather.name in ("day", "dusk")),
            "lidar": rig.lidar is not None and self._mostly(raw_returns, self.seen["lidar"], truth.weather.fog <= 0.3),
        }

    @staticmethod
    def _mostly(visible: int, clear: int, otherwise: bool) -> bool:
        """Whether at least half of the visible objects are clear; `otherwise` where none is visible."""
        return 2 * (visible & clear).bit_count() >= visible.bit_count() if visible else otherwise

    def select(self, status: str, category: str) -> int:
        """The objects of a category ("thing" is any) with a status ("any" is any)."""
        chosen = self.everything if category == "thing" else self.categories[category]
        return chosen if status == "any" else chosen & self.statuses[status]

    def toward(self, reference: int, where: str) -> int:
        """The objects to the `where` of an object, or of the ego vehicle (`ME`)."""
        if reference not in self._rows:
            x, y = (0.0, 0.0) if reference == ME else self.objects[reference].position[:2]
            row = dict.fromkeys(DIRECTIONS, 0)
            for index, item in enumerate(self.objects):
                if index != reference:
                    row[direction(item.position[0] - x, item.position[1] - y)] |= 1 << index
            self._rows[reference] = row
        row = self._rows[reference]
        return row[SIDES[where][0]] | row[SIDES[where][1]] if where in SIDES else row[where]

    def alike(self, reference: int) -> int:
        """The other objects with the status of an object."""
        return self.statuses.get(self.objects[reference].status, 0) & ~(1 << reference)

    def nearest(self, chosen: int) -> int:
        """The index of the object nearest to the ego vehicle in a non-empty set."""
        return min(members(chosen), key=lambda index: self.range(index))

    def range(self, index: int) -> float:
        """Horizontal distance [m] from the ego vehicle to an object's centre."""
        return math.hypot(*self.objects[index].position[:2])

    def covers(self, modality: str, where: str | None) -> bool:
        """Whether a modality covers every direction (None) or the whole sector to the `where` of the ego vehicle."""
        if where in SIDES:
            return all(self.covers(modality, part) for part in SIDES[where])
        return self.rig.lidar is not None if modality == "lidar" else _cameras_cover(self.rig, where)


@cache
def _cameras_cover(rig: Rig, where: str | None) -> bool:
    return all(
        any(abs(math.remainder(angle - mount.bearing, math.tau)) <= mount.fov / 2 + 0.1 for mount in rig.cameras)
        for angle in (math.radians(step) for step in range(-180, 180, 5))
        if where is None or direction(math.cos(angle), math.sin(angle)) == where
    )


def members(mask: int) -> list[int]:
    """The indices of a set, ascending."""
    indices = []
    while mask:
        lowest = mask & -mask
        indices.append(lowest.bit_length() - 1)
        mask ^= lowest
    return indices


def most_seen(counts: dict[str, int], cameras: Sequence[str]) -> int:
    """The largest count among `cameras`, by camera name; 0 where there is none."""
    return max((counts.get(camera, 0) for camera in cameras), default=0)


def _visible(item: SceneObject, cameras: list[str], rig: Rig) -> bool:
    if math.hypot(*item.position[:2]) > MAX_RANGE:
        return False
    return most_seen(item.pixels, cameras) >= MIN_PIXELS or (rig.lidar is not None and item.returns >= MIN_RETURNS)


def _light_pixels(light: TrafficLight | None, cameras: list[str], kind: str) -> bool:
    return light is not None and most_seen(getattr(light, kind), cameras) >= MIN_LIGHT_PIXELS
