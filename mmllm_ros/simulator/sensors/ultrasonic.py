# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated ultrasonic sensors around the vehicle: each gives the strength of the echo by distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..truth import Weather
from ..world.mesh import Surface
from ..world.props import FRONT, REAR, SIDE
from ..world.ray_scene import RayScene

BIN, BINS = 0.05, 128
"""Length [m] and number of the bins of an echo trace: 6.4 m."""
MAX_REACH = BIN * BINS

_HALF_ACROSS, _HALF_DOWN = math.radians(30.0), math.radians(14.0)
_ACROSS, _DOWN = 9, 5


@dataclass(frozen=True, slots=True)
class Transducer:
    """One sensor: x, y, z [m] and bearing [rad] in the base frame."""

    x: float
    y: float
    z: float
    bearing: float


TRANSDUCERS = (
    Transducer(REAR, 0.7, 0.55, math.radians(155.0)),
    Transducer(REAR, 0.25, 0.55, math.pi),
    Transducer(REAR, -0.25, 0.55, math.pi),
    Transducer(REAR, -0.7, 0.55, math.radians(-155.0)),
    Transducer(FRONT, 0.4, 0.55, 0.0),
    Transducer(FRONT, -0.4, 0.55, 0.0),
    Transducer(1.4, SIDE, 0.55, math.pi / 2),
    Transducer(1.4, -SIDE, 0.55, -math.pi / 2),
)
"""The channels of the array, in order: four at the rear from left to right, two at the front, left side, right side."""
SIDES = {"behind": (0, 1, 2, 3), "ahead": (4, 5), "left": (6,), "right": (7,)}
"""The channels that look to each side."""


@dataclass(frozen=True, slots=True)
class Echoes:
    """`traces` float32 [channels, BINS] in [0, 1]; `nearest` [channels] the true range of the nearest upright thing [m]."""

    traces: np.ndarray
    nearest: np.ndarray


class UltrasonicArray:
    """All transducers, read at once."""

    def __init__(self, transducers: tuple[Transducer, ...] = TRANSDUCERS):
        self._transducers = transducers
        across = np.linspace(-_HALF_ACROSS, _HALF_ACROSS, _ACROSS)
        down = np.linspace(-_HALF_DOWN, _HALF_DOWN, _DOWN)
        a, e = (part.ravel() for part in np.meshgrid(across, down))
        self._beam = np.exp(-((a / _HALF_ACROSS) ** 2) - (e / _HALF_DOWN) ** 2).astype(np.float32)
        rays = []
        for sensor in transducers:
            bearing = sensor.bearing + a
            direction = np.stack([np.cos(e) * np.cos(bearing), np.cos(e) * np.sin(bearing), np.sin(e)], 1)
            rays.append(np.concatenate([np.tile([sensor.x, sensor.y, sensor.z], (len(a), 1)), direction], 1))
        self._rays = np.concatenate(rays).astype(np.float32)

    def capture(
        self, ray_scene: RayScene, pose: tuple[float, float, float], weather: Weather, speed: float, rng: np.random.Generator
    ) -> Echoes:
        """One reading from the ego's pose. Wind of driving [m/s] and rain raise the noise; far and oblique echoes are weak."""
        x, y, yaw = pose
        c, s = math.cos(yaw), math.sin(yaw)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
        origin = self._rays[:, :3] @ turn.T + np.array([x, y, 0], np.float32)
        rays = np.concatenate([origin, self._rays[:, 3:] @ turn.T], 1).astype(np.float32)
        hits = ray_scene.cast(rays)
        channels, beams = len(self._transducers), len(self._beam)
        solid = (hits.index >= 0) & (hits.depth < MAX_REACH)
        facing = np.abs(np.einsum("nk,nk->n", hits.normal, rays[:, 3:]))
        upright = solid & (ray_scene.surface[hits.index] != Surface.GROUND)
        distance = np.where(upright, hits.depth, np.inf).reshape(channels, beams)
        # Rough ground scatters a little; a surface across the beam reflects most.
        strength = np.tile(self._beam, channels) * np.where(upright, 0.15 + 0.85 * facing**4, 0.06 * facing)
        strength = np.where(solid, strength / (1.0 + np.where(solid, hits.depth, 0.0) ** 2), 0.0)
        bins = np.minimum((np.where(solid, hits.depth, 0.0) / BIN).astype(np.int64), BINS - 1)
        flat = np.repeat(np.arange(channels), beams) * BINS + bins
        traces = np.bincount(flat, strength, channels * BINS).reshape(channels, BINS)
        pulse = np.exp(-0.5 * (np.arange(-4, 5) / 1.6) ** 2)
        traces = np.apply_along_axis(np.convolve, 1, traces, pulse, "same")
        noise = 0.01 + 0.03 * weather.rain + 0.0015 * speed
        traces = np.abs(traces * rng.uniform(0.85, 1.15, (channels, 1)) + rng.normal(0.0, noise, traces.shape))
        # Compressed, as the amplifier of a sensor does it, so that an echo from 5 m is not lost beside one from 0.5 m.
        return Echoes(np.clip(np.sqrt(traces / 4.0), 0.0, 1.0).astype(np.float32), distance.min(1))
