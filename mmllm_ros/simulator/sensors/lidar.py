# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated spinning lidar: range noise, intensity by material and angle, dropouts and false returns in fog and rain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...rig import LidarMount
from ..truth import Weather
from ..world.ground import ground_look
from ..world.mesh import Surface
from ..world.ray_scene import SCENERY, RayScene
from ..world.town import Town
from ..world.weather import lidar_extinction

MAX_RANGE = 75.0
_SWEEP = 0.1


@dataclass(frozen=True, slots=True)
class Sweep:
    """One turn: `points` float32 [n, 4]; `met` int32 owners of all beams that hit an actor, `kept` of those with a return."""

    points: np.ndarray
    met: np.ndarray
    kept: np.ndarray


class Lidar:
    """A lidar at its mount."""

    def __init__(self, mount: LidarMount):
        self._mount = mount
        elevation = np.linspace(mount.fov_up, mount.fov_down, mount.rings)
        bearing = math.pi - 2 * math.pi * (np.arange(mount.columns) + 0.5) / mount.columns
        e, b = np.meshgrid(elevation, bearing, indexing="ij")
        beams = np.stack([np.cos(e) * np.cos(b), np.cos(e) * np.sin(b), np.sin(e)], -1)
        self._beams = beams.reshape(-1, 3).astype(np.float32)
        # Time before the stamp [s] at which each beam is fired.
        age = _SWEEP * (1 - (np.arange(mount.columns) + 1) / mount.columns)
        self._age = np.tile(age, mount.rings).astype(np.float32)

    def capture(
        self,
        town: Town,
        ray_scene: RayScene,
        weather: Weather,
        pose: tuple[float, float, float],
        rng: np.random.Generator,
        motion: tuple[float, float] = (0.0, 0.0),
    ) -> Sweep:
        """One sweep from the ego's pose. `motion` is the speed [m/s] and yaw rate [rad/s] during it, 0 for an instant one.

        With motion the points are as a real driver gives them: each in the sensor's frame at the time of its beam.
        """
        rays = self._rays(pose, motion)
        hits = ray_scene.cast(rays)
        solid = np.flatnonzero((hits.index >= 0) & (hits.depth < MAX_RANGE))
        index, depth = hits.index[solid], hits.depth[solid]
        owner = ray_scene.owner[index]
        reflectance = ray_scene.reflectance[index]
        points = rays[solid, :3] + rays[solid, 3:] * depth[:, None]
        floor = np.flatnonzero(ray_scene.surface[index] == Surface.GROUND)
        reflectance[floor] = ground_look(town, points[floor, :2], np.full(len(floor), 0.05, np.float32))[1]
        # A film of water scatters the beam forward, on the ground more than on upright surfaces.
        reflectance *= 1 - 0.6 * weather.rain
        reflectance[floor] *= 1 - 0.3 * weather.rain
        angle = np.abs((hits.normal[solid] * rays[solid, 3:]) @ np.ones(3, np.float32))
        lost = np.exp(-2 * lidar_extinction(weather) * depth)
        intensity = reflectance * (0.15 + 0.85 * angle) * lost
        # The detection threshold grows with the square of the range.
        margin = intensity / (1.6e-5 * depth**2 + 4e-4) * rng.lognormal(0.0, 0.35, len(depth)).astype(np.float32)
        kept = (margin > 1.0) & (rng.random(len(depth)) > 0.01 + 0.45 * weather.rain)  # drops on the window
        ghost = self._false_returns(weather, hits.depth, rng)
        kept &= ~ghost[solid]
        ranges = depth + rng.normal(0, 0.015, len(depth)).astype(np.float32)
        beams = [self._beams[solid[kept]] * ranges[kept, None]]
        shine = [intensity[kept] * rng.normal(1, 0.06, int(kept.sum())).astype(np.float32)]
        false = np.flatnonzero(ghost)
        near = np.minimum(0.8 + rng.exponential(3.5, len(false)), np.minimum(hits.depth[false] * 0.95, 20.0))
        beams.append(self._beams[false] * near[:, None])
        shine.append(rng.uniform(0.0, 0.06, len(false)))
        xyz = np.concatenate(beams).astype(np.float32)
        shining = np.clip(np.concatenate(shine), 0, 1).astype(np.float32)
        return Sweep(np.concatenate([xyz, shining[:, None]], 1), owner[owner != SCENERY], owner[kept & (owner != SCENERY)])

    def _rays(self, pose: tuple[float, float, float], motion: tuple[float, float]) -> np.ndarray:
        x, y, yaw = pose
        speed, turning = motion
        back = yaw - turning * self._age
        half = yaw - turning * self._age / 2
        cx, cy = x - speed * self._age * np.cos(half), y - speed * self._age * np.sin(half)
        c, s = np.cos(back), np.sin(back)
        px, py, pz = self._mount.position
        rays = np.empty((len(self._beams), 6), np.float32)
        rays[:, 0], rays[:, 1], rays[:, 2] = cx + c * px - s * py, cy + s * px + c * py, pz
        bx, by = self._beams[:, 0], self._beams[:, 1]
        rays[:, 3], rays[:, 4], rays[:, 5] = c * bx - s * by, s * bx + c * by, self._beams[:, 2]
        return rays

    @staticmethod
    def _false_returns(weather: Weather, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Beams that are returned by drops in the air, bool [N]."""
        chance = 0.35 * weather.fog**1.5 + 0.08 * weather.rain
        return (rng.random(len(depth)) < chance) & (depth > 1.0)
