# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Traffic around the ego vehicle: driving, stopped and parked vehicles, pedestrians, riders, cones and barriers."""

from __future__ import annotations

import math

import numpy as np

from .actor import Actor
from .ego_vehicle import Ego
from .placement import placements
from .town import STOP_LINE, Town

STEP = 0.05
_KEEP, _RING = 80.0, (48.0, 72.0)
_EGO_SIZE = (4.6, 1.9)
_EGO_CENTRE = 1.4


class Traffic:
    """All actors around the ego vehicle; new ones are placed at a distance as it drives on."""

    def __init__(self, town: Town, ego: Ego, rng: np.random.Generator):
        self._town, self._ego, self._rng = town, ego, rng
        self.actors: list[Actor] = []
        self._last_identifier, self._count = 0, int(rng.integers(6, 19))
        self._clock = 0.0
        self._fill(self._count, 4.0, 42.0)
        self._fill(int(self._count * 1.5), *_RING)

    def _fill(self, wanted: int, near: float, far: float) -> None:
        """Try to have `wanted` actors, new ones between `near` and `far` metres from the ego."""
        for _ in range(4 * wanted):
            if len(self.actors) >= wanted:
                return
            group = placements(self._town, self._ego, self._rng, near, far)
            for actor in group:
                actor.update_pose(self._town)
            if all(self._free(actor) for actor in group):
                for actor in group:
                    self._last_identifier += 1
                    actor.identifier = self._last_identifier
                self.actors += group

    def _free(self, actor: Actor) -> bool:
        """Whether nothing stands where `actor` would."""
        forward, side, half_length, half_width = self._seen_from(actor.x, actor.y, actor.yaw)
        length, width, _ = actor.size
        margin = 2.5 if actor.mode == "drive" else 0.4
        clash = (np.abs(forward) < half_length + length / 2 + margin) & (np.abs(side) < half_width + width / 2 + 0.25)
        # The last row is the ego, which needs room to brake.
        ego = abs(forward[-1]) < half_length[-1] + length / 2 + 5.0 and abs(side[-1]) < half_width[-1] + width / 2 + 0.4
        return not (clash.any() or ego)

    def _seen_from(self, x: float, y: float, yaw: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """How far ahead and left of a pose everything is, the ego last, and its half length and width seen from there."""
        rows = [(a.x, a.y, a.yaw, a.shape.size[0] * a.scale[0], a.shape.size[1] * a.scale[1]) for a in self.actors]
        ego = self._ego
        middle = (ego.x + _EGO_CENTRE * math.cos(ego.yaw), ego.y + _EGO_CENTRE * math.sin(ego.yaw))
        table = np.array([*rows, (*middle, ego.yaw, *_EGO_SIZE)])
        dx, dy = table[:, 0] - x, table[:, 1] - y
        c, s = np.abs(np.cos(table[:, 2] - yaw)), np.abs(np.sin(table[:, 2] - yaw))
        forward, side = dx * math.cos(yaw) + dy * math.sin(yaw), -dx * math.sin(yaw) + dy * math.cos(yaw)
        return forward, side, (c * table[:, 3] + s * table[:, 4]) / 2, (s * table[:, 3] + c * table[:, 4]) / 2

    def _gap(self, x: float, y: float, yaw: float, length: float, width: float, bend: float = 0.0) -> tuple[float, int]:
        """Free way ahead of a vehicle [m], and the row of what ends it."""
        forward, side, half_length, half_width = self._seen_from(x, y, yaw)
        side = side - 0.5 * bend * forward**2
        gap = np.where(
            (forward > 0.1) & (np.abs(side) < half_width + width / 2 + 0.25), forward - half_length - length / 2, np.inf
        )
        nearest = int(np.argmin(gap))
        return float(gap[nearest]), nearest

    def leader_gap(self) -> float:
        """Free way ahead of the ego [m], along its present bend."""
        ego = self._ego
        x, y = ego.x + _EGO_CENTRE * math.cos(ego.yaw), ego.y + _EGO_CENTRE * math.sin(ego.yaw)
        bend = ego.yaw_rate / ego.speed if ego.speed > 0.5 else 0.0
        forward, side, half_length, half_width = self._seen_from(x, y, ego.yaw)
        side = side - 0.5 * bend * forward**2
        ahead = (forward > 0.1) & (np.abs(side) < half_width + _EGO_SIZE[1] / 2 + 0.25)
        gap = np.where(ahead, forward - half_length - _EGO_SIZE[0] / 2, np.inf)[:-1]
        return float(gap.min(initial=np.inf))

    def advance(self) -> None:
        """One step of everyone."""
        self._clock += STEP
        for actor in self.actors:
            if actor.mode == "drive":
                self._drive(actor)
            elif actor.mode == "walk":
                actor.along += actor.heading * actor.speed * STEP
                actor.update_pose(self._town)
        for actor in self.actors:
            if actor.tow is not None:
                lead = actor.tow
                actor.along = lead.along - lead.heading * (lead.size[0] + actor.size[0] + 0.5) / 2
                actor.speed, actor.braking = lead.speed, lead.braking
                actor.update_pose(self._town)
        if round(self._clock / STEP) % 20 == 0:
            self._replace_actors()

    def _drive(self, actor: Actor) -> None:
        gap, nearest = self._gap(actor.x, actor.y, actor.yaw, actor.size[0], actor.size[1])
        gap = min(gap, self._stop_line(actor))
        if actor.hold > 0:
            actor.hold -= STEP
            target = 0.0
        else:
            target = actor.cruise
            if self._rng.random() < STEP / 30:
                actor.hold = float(self._rng.uniform(4, 9))
        room = max(gap - 1.5, 0.0)
        target = min(target, math.sqrt(2 * 2.5 * room))
        change = min(max(target - actor.speed, -5.0 * STEP), 1.8 * STEP)
        actor.speed = max(actor.speed + change, 0.0) if actor.speed + change > 0.05 or change > 0 else 0.0
        actor.braking = actor.speed < 0.5 or change < -1.0 * STEP
        actor.along += actor.heading * actor.speed * STEP
        actor.blocked = actor.blocked + STEP if actor.speed == 0 and nearest == len(self.actors) and gap < 6 else 0.0
        actor.update_pose(self._town)

    def _stop_line(self, actor: Actor) -> float:
        crossing = self._town.next_crossing(actor.axis, actor.along, actor.heading)
        line = crossing * self._town.pitch[actor.axis] - actor.heading * (self._town.half + STOP_LINE)
        gap = actor.heading * (line - actor.along) - actor.size[0] / 2
        if not -0.5 < gap < 40.0 or (gap < 0 and actor.speed > 1.0):
            return math.inf
        state = self._town.signal(actor.axis, actor.street, crossing, self._ego.time)
        if state == "red" or (state == "yellow" and gap > actor.speed**2 / 8):
            return gap + 1.0
        return math.inf

    def _replace_actors(self) -> None:
        """Remove actors that are far away or have been blocked by the ego for long; place new ones at a distance."""
        ego = self._ego
        gone = {a.identifier for a in self.actors if math.hypot(a.x - ego.x, a.y - ego.y) > _KEEP or a.blocked > 12.0}
        self.actors = [a for a in self.actors if a.identifier not in gone and (a.tow is None or a.tow.identifier not in gone)]
        self._fill(int(self._count * 1.5), *_RING)
