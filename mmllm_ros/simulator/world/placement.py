# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Places new actors and draws their states. Rare classes are drawn often enough to be learned."""

from __future__ import annotations

import math

import numpy as np

from ..truth import CYCLES, VEHICLES
from .actor import Actor, paint_of
from .ego_vehicle import Ego
from .shapes import Shape, pick
from .town import LANE, Town

_CATEGORY_SHARES = {
    "car": 0.19,
    "truck": 0.08,
    "bus": 0.08,
    "construction vehicle": 0.08,
    "trailer": 0.07,
    "bicycle": 0.11,
    "motorcycle": 0.11,
    "pedestrian": 0.16,
    "traffic cone": 0.06,
    "barrier": 0.06,
}


def placements(town: Town, ego: Ego, rng: np.random.Generator, near: float, far: float) -> list[Actor]:
    """A new actor, or a group that belongs together, between `near` and `far` [m] from the ego; overlaps are not checked here."""
    category = str(rng.choice(list(_CATEGORY_SHARES), p=list(_CATEGORY_SHARES.values())))
    axis, street, along = _spot(town, ego, rng, near, far)
    heading = int(rng.choice((-1, 1)))
    factory = _ActorFactory(town, rng, axis, street, heading, along)
    if category in VEHICLES:
        return factory.vehicle(category)
    if category in CYCLES:
        return [factory.cycle(category)]
    if category == "pedestrian":
        return [factory.pedestrian()]
    return factory.obstacles(category)


def _spot(town: Town, ego: Ego, rng: np.random.Generator, near: float, far: float) -> tuple[int, int, float]:
    """A point on the ego's street, or on one that crosses it."""
    position, pitch = (ego.x, ego.y), town.pitch
    axis = 0 if abs(math.cos(ego.yaw)) > 0.7 else 1
    own = round(position[1 - axis] / pitch[1 - axis])
    reach = float(rng.uniform(near, far)) * int(rng.choice((-1, 1)))
    if rng.random() < 0.8:
        return axis, own, position[axis] + reach
    return 1 - axis, round((position[axis] + float(rng.uniform(-25, 25))) / pitch[axis]), own * pitch[1 - axis] + reach


class _ActorFactory:
    """Makes actors for one spot of one street."""

    def __init__(self, town: Town, rng: np.random.Generator, axis: int, street: int, heading: int, along: float):
        self._town, self._rng = town, rng
        self._where = {"axis": axis, "street": street, "heading": heading, "along": along}
        # Static actors are not placed in crossings: where the position is too near to one, they are moved beside it.
        self._middle = middle = round(along / town.pitch[axis]) * town.pitch[axis]
        room = town.half + 9.0
        self._in_crossing = abs(along - middle) < room
        beside = middle + math.copysign(room + float(rng.uniform(0, 8)), along - middle)
        self._beside = beside if self._in_crossing else along

    def _actor(self, category: str, shape: Shape, mode: str, state: str, right: float, spread: float = 0.08, **more) -> Actor:
        rng = self._rng
        common = rng.uniform(1 - spread, 1 + spread)
        scale = tuple(float(common * rng.uniform(1 - spread / 2, 1 + spread / 2)) for _ in range(3))
        colour, paint = paint_of(category, shape, rng)
        if mode == "still":
            more["along"] = self._beside
        return Actor(0, category, shape, scale, colour, paint, mode, state, **{**self._where, "right": right, **more})

    def vehicle(self, category: str) -> list[Actor]:
        """Parked at the kerb, or in a lane: driving, or standing for a while."""
        rng, town = self._rng, self._town
        shape = pick(category, "", rng)
        if rng.random() < 0.4:
            return [self._actor(category, shape, "still", "parked", town.half - 1.25)]
        right = town.lane(int(rng.integers(town.lanes)))
        slow = 0.6 if category == "construction vehicle" else 1.0
        cruise = float(rng.uniform(4.0, 13.0)) * slow
        stands = rng.random() < 0.6 and not self._in_crossing
        motion = {"cruise": cruise, "speed": 0.0 if stands else cruise, "hold": float(rng.uniform(4, 14)) if stands else 0.0}
        motion["braking"] = stands
        if category != "trailer":
            return [self._actor(category, shape, "drive", "", right, **motion)]
        by = "car" if shape.name == "box trailer" else "truck"
        lead = self._actor(by, pick(by, "", rng), "drive", "", right, **motion)
        trailer = self._actor(category, shape, "towed", "", right, speed=motion["speed"], braking=stands, tow=lead)
        trailer.along = lead.along - lead.heading * (lead.size[0] + trailer.size[0] + 0.5) / 2
        return [lead, trailer]

    def cycle(self, category: str) -> Actor:
        """Ridden at the right of the outer lane, or left at the kerb."""
        rng, town = self._rng, self._town
        if rng.random() < 0.42:
            shape = pick(category, "without rider", rng)
            turn = float(rng.choice((0.0, math.pi / 2)) + rng.normal(0, 0.15))
            return self._actor(category, shape, "still", "without rider", town.half + float(rng.uniform(0.6, 1.2)), turn=turn)
        cruise = float(rng.uniform(2.5, 6.0)) * (1.5 if category == "motorcycle" else 1.0)
        stands = rng.random() < 0.25
        right = town.lanes * LANE - float(rng.uniform(0.7, 1.2))
        motion = {"cruise": cruise, "speed": 0.0 if stands else cruise, "hold": float(rng.uniform(5, 20)) if stands else 0.0}
        return self._actor(category, pick(category, "with rider", rng), "drive", "with rider", right, **motion)

    def pedestrian(self) -> Actor:
        """On the pavement, facing anywhere when standing, the street when sitting."""
        rng, town = self._rng, self._town
        state = str(rng.choice(["moving", "standing", "not standing"], p=[0.42, 0.33, 0.25]))
        shape, right = pick("pedestrian", state, rng), town.half + float(rng.uniform(0.7, 2.5))
        if state == "moving":
            return self._actor("pedestrian", shape, "walk", state, right, 0.06, speed=float(rng.uniform(1.1, 1.9)))
        # A turn of +90 degrees faces the street from the right-hand pavement.
        turn = float(rng.uniform(-math.pi, math.pi)) if state == "standing" else math.pi / 2 + float(rng.normal(0, 0.3))
        return self._actor("pedestrian", shape, "still", state, right, 0.06, turn=turn)

    def obstacles(self, category: str) -> list[Actor]:
        """One to three in a row beside the outer lane or on the edge of the pavement."""
        rng, town = self._rng, self._town
        count = int(rng.integers(1, 4))
        right = town.lanes * LANE + 0.6 if rng.random() < 0.6 else town.half + 0.7
        turn = math.pi / 2 if category == "barrier" else 0.0
        gap = 3.1 if category == "barrier" else float(rng.uniform(1.5, 3.5))
        shape = pick(category, "", rng)
        row = [
            self._actor(category, shape, "still", "", right, 0.05, turn=turn + float(rng.normal(0, 0.05))) for _ in range(count)
        ]
        for i, actor in enumerate(row):
            actor.along += math.copysign(i * gap, self._beside - self._middle)
        return row
