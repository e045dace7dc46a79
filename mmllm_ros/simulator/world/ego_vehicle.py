# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ego vehicle: a kinematic bicycle model that follows its lane, turns at crossings, brakes, stops and drives over bumps."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from .town import STOP_LINE, Town

WHEELBASE = 2.8
STEP = 0.01
"""Seconds of one integration step; the IMU samples at this rate."""

MANOEUVRES = ("cruise", "accelerate", "brake", "stand", "left", "right")
_FRONT = 3.6
_TURN_SPEED = (4.5, 7.5)


class Route:
    """The route ahead as samples (x, y, yaw, curvature) every half metre, extended as the ego drives."""

    SPACING = 0.5

    def __init__(self, town: Town, rng: np.random.Generator, axis: int, street: int, heading: int, along: float, lane: int):
        self._town, self._rng, self._lane = town, rng, lane
        self._axis, self._street, self._heading, self._along = axis, street, heading, along
        self.samples: list[tuple[float, float, float, float]] = []
        self.stops: list[tuple[float, int, int, int, int]] = []
        """Stop lines on the route: (distance from the start, axis, street, crossing, heading)."""

    def extend(self, turn: str | None = None) -> None:
        """Add the route to the next crossing and through it: straight, left or right, drawn at random unless given."""
        town, axis, heading = self._town, self._axis, self._heading
        crossing = town.next_crossing(axis, self._along + heading * 0.01, heading)
        middle = crossing * town.pitch[axis]
        turn = turn or str(self._rng.choice(["straight", "left", "right"], p=[0.5, 0.25, 0.25]))
        line = len(self.samples) * self.SPACING + abs(middle - self._along) - town.half - STOP_LINE
        self.stops.append((line, axis, self._street, crossing, heading))
        if turn == "straight":
            self._straight(middle)
            return
        side = 1 if turn == "left" else -1
        # Where the lane and the lane turned into meet, and an arc that starts and ends `radius` before and after.
        new_heading = heading * side * (1 if axis == 0 else -1)
        offset = town.lane(self._lane)
        corner = middle - (-1 if turn == "left" else 1) * heading * offset
        radius = 9.0 + (town.half if turn == "left" else 0.0) * 0.5
        self._straight(corner - heading * radius)
        self._arc(side, radius)
        self._axis, self._street, self._heading = 1 - axis, crossing, new_heading
        x, y, _, _ = self.samples[-1]
        self._along = y if self._axis == 1 else x

    def _straight(self, until: float) -> None:
        count = max(round(abs(until - self._along) / self.SPACING), 1)
        for i in range(1, count + 1):
            along = self._along + (until - self._along) * i / count
            self.samples.append(
                (*self._town.place(self._axis, self._street, along, self._town.lane(self._lane), self._heading), 0.0)
            )
        self._along = until

    def _arc(self, side: int, radius: float) -> None:
        x, y, yaw, _ = self.samples[-1]
        count = math.ceil(radius * math.pi / 2 / self.SPACING)
        cx, cy = x - side * radius * math.sin(yaw), y + side * radius * math.cos(yaw)
        for i in range(1, count + 1):
            now = yaw + side * math.pi / 2 * i / count
            self.samples.append((cx + side * radius * math.sin(now), cy - side * radius * math.cos(now), now, side / radius))


class Ego:
    """State of the vehicle. `x, y, yaw` are of its base (rear axle), `log` keeps the last second of motion at 100 Hz."""

    def __init__(self, town: Town, rng: np.random.Generator, manoeuvre: str):
        self._town, self._rng = town, rng
        axis, heading = int(rng.integers(2)), int(rng.choice((-1, 1)))
        street, lane = int(rng.integers(-5, 6)), int(rng.integers(town.lanes))
        turning = manoeuvre in ("left", "right")
        crossing = int(rng.integers(-5, 6))
        before = town.half + (rng.uniform(2.0, 7.0) if turning else rng.uniform(8.0, 55.0))
        along = crossing * town.pitch[axis] - heading * before
        self.route = Route(town, rng, axis, street, heading, along, lane)
        self.route.extend(manoeuvre if turning else None)
        self.x, self.y, self.yaw, _ = self.route.samples[0]
        self.distance, self.yaw_rate, self.acceleration, self.time = 0.0, 0.0, 0.0, 0.0
        start = {"cruise": (5, 12), "accelerate": (2, 6), "brake": (9, 14), "stand": (0, 0)}.get(manoeuvre, _TURN_SPEED)
        target = {"accelerate": (11, 14), "brake": (0, 4), "stand": (0, 0)}.get(manoeuvre)
        self.speed = float(rng.uniform(*start))
        self._target = float(rng.uniform(*target)) if target else self.speed
        self._until = float(rng.uniform(3.0, 8.0))
        self._rates = (float(rng.uniform(1.2, 2.6)), float(rng.uniform(1.8, 4.0)))
        self._ignores_lights = manoeuvre in ("left", "right", "cruise", "accelerate")
        self._bump = deque[float]()
        self.log: deque[tuple[float, float, float, float]] = deque(maxlen=100)
        """(speed, yaw rate, longitudinal acceleration, vertical acceleration of bumps) of each step."""

    def advance(self, leader: float) -> None:
        """One step; `leader` is the free distance ahead [m] to the nearest obstacle."""
        self.time += STEP
        ahead = int(self.distance / Route.SPACING)
        while ahead + 120 > len(self.route.samples):
            self.route.extend()
        if self.time > self._until:
            self._draw_target()
        wanted = self._allowed_acceleration(ahead, leader)
        jerk = 8.0 * STEP
        self.acceleration += min(max(wanted - self.acceleration, -jerk), jerk)
        if self.speed <= 0.02 and wanted <= 0.05:
            self.speed, self.acceleration = 0.0, 0.0
        self.speed = max(self.speed + self.acceleration * STEP, 0.0)
        self._steer(ahead)
        self.distance += self.speed * STEP
        self.x += self.speed * math.cos(self.yaw) * STEP
        self.y += self.speed * math.sin(self.yaw) * STEP
        self.yaw += self.yaw_rate * STEP
        if not self._bump and self.speed > 1.0 and self._rng.random() < 0.06 * STEP:
            height = self._rng.uniform(2.0, 6.0)
            self._bump.extend(height * math.sin(2 * math.pi * i / 18) * (1 - i / 40) for i in range(36))
        self.log.append((self.speed, self.yaw_rate, self.acceleration, self._bump.popleft() if self._bump else 0.0))

    def _draw_target(self) -> None:
        self._target = float(self._rng.choice([0.0, 4.0, 8.0, 11.0, 13.5], p=[0.15, 0.15, 0.25, 0.25, 0.2]))
        self._until = self.time + float(self._rng.uniform(4.0, 10.0) if self._target else self._rng.uniform(5.0, 8.0))
        self._rates = (float(self._rng.uniform(1.2, 2.6)), float(self._rng.uniform(1.8, 4.0)))

    def _allowed_acceleration(self, ahead: int, leader: float) -> float:
        """The acceleration that the target, the bend ahead, the light and the leader allow [m/s^2]."""
        target = self._target
        gentle, firm = self._rates
        braking = self.speed**2 / (2 * firm)
        bend = max((abs(sample[3]) for sample in self.route.samples[ahead : ahead + int(2 * braking) + 6]), default=0.0)
        if bend > 0:
            target = min(target if target > 0 else self.speed, math.sqrt(2.6 / bend))
        wanted = min(max(1.5 * (target - self.speed), -firm), gentle)
        for gap in (self._stop_line(), leader):
            if gap < 1.5 * braking + 6.0:
                room = max(gap - 0.8, 0.05)
                wanted = min(wanted, -(self.speed**2) / (2 * room) if self.speed > 0.3 or gap < 1.5 else wanted)
                if gap < 1.2:
                    wanted = min(wanted, -2.0 if self.speed > 0 else 0.0)
        return max(wanted, -6.0)

    def _stop_line(self) -> float:
        """Distance from the front to the next line where the light is not green, infinite where none is near."""
        for line, axis, street, crossing, _ in self.route.stops[-3:]:
            gap = line - self.distance - _FRONT
            if -1.0 < gap < 45.0:
                if self._ignores_lights and self.time < 4.0:
                    continue
                state = self._town.signal(axis, street, crossing, self.time)
                comfortable = gap > self.speed**2 / (2 * 4.5)
                if state == "red" or (state == "yellow" and comfortable):
                    return gap if comfortable or self.speed < 1.0 else math.inf
        return math.inf

    def _steer(self, ahead: int) -> None:
        """Curvature feed-forward with feedback of heading and lateral error: yaw rate = v tan(steering) / wheelbase."""
        x, y, yaw, bend = self.route.samples[min(ahead, len(self.route.samples) - 1)]
        bend = self.route.samples[min(ahead + 1, len(self.route.samples) - 1)][3] if bend == 0 else bend
        side = -(self.x - x) * math.sin(yaw) + (self.y - y) * math.cos(yaw)
        off = math.remainder(self.yaw - yaw, 2 * math.pi)
        steering = math.atan(WHEELBASE * (bend - 0.9 * off - 0.12 * side))
        rate = self.speed * math.tan(min(max(steering, -0.6), 0.6)) / WHEELBASE
        limit = 3.0 * STEP
        self.yaw_rate += min(max(rate - self.yaw_rate, -limit), limit)
        if self.speed == 0.0:
            self.yaw_rate = 0.0
