# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated depth camera: range along the optical axis by the rays of a camera, and the surface normals at the same pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...rig import CameraMount
from ..truth import Weather
from ..world.ray_scene import SCENERY, RayScene
from ..world.weather import extinction
from .camera import Camera

MIN_DEPTH, MAX_DEPTH = 0.3, 40.0
"""What the depth camera measures [m]."""
NORMAL_NOISE = 0.06
"""Standard deviation of each component of a normal."""


@dataclass(frozen=True, slots=True)
class DepthView:
    """One depth image and its normals.

    `depth` float32 [h, w]: metres along the optical axis (REP-118), 0 = no reading. `normals` float32 [h, w, 3]: unit vectors
    towards the camera in its x forward, y left, z up axes, all 0 where there is no reading. `exact` is the depth before noise
    and dropouts, infinite for the sky; `facing` the normals before noise; `owner` int32 [h, w] the owner seen (ray_scene.py).
    """

    depth: np.ndarray
    normals: np.ndarray
    exact: np.ndarray
    facing: np.ndarray
    owner: np.ndarray


class DepthCamera:
    """A depth camera at the mount of a camera. `size` is (height, width) in pixels."""

    def __init__(self, mount: CameraMount, size: tuple[int, int]):
        self._camera, self._size = Camera(mount, size), size
        level = Camera(CameraMount(mount.name, mount.topic, 0.0, mount.fov, mount.position), size)
        self._directions = level.rays((0.0, 0.0, 0.0))[:, 3:]

    def capture(
        self, ray_scene: RayScene, pose: tuple[float, float, float], weather: Weather, rng: np.random.Generator
    ) -> DepthView:
        """Depth and normals from the ego's pose. Error grows with the square of the range; fog, rain, darkness cost readings."""
        rays = self._camera.rays(pose)
        hits = ray_scene.cast(rays)
        # The axes of the camera in the world, from the directions of the same pixels in both frames.
        turn = np.linalg.lstsq(rays[:: len(rays) // 16, 3:], self._directions[:: len(rays) // 16], rcond=None)[0].astype(
            np.float32
        )
        normal = hits.normal @ turn
        towards = np.einsum("nk,nk->n", normal, self._directions)
        normal = np.where(towards[:, None] > 0, -normal, normal)
        exact = hits.depth * self._directions[:, 0]
        grazing = np.abs(towards)
        count = len(exact)
        seen = np.isfinite(exact) & (exact > MIN_DEPTH) & (exact < min(MAX_DEPTH, 2.5 / extinction(weather)))
        lost = 0.01 + 0.12 * weather.rain + 0.25 * weather.dirt + 0.3 * (1 - weather.light) * np.clip(exact / MAX_DEPTH, 0, 1)
        seen &= (rng.random(count) > lost) & (grazing > 0.02)
        near = np.where(seen, exact, 0.0)
        depth = np.where(seen, near + rng.standard_normal(count) * (0.004 + 0.001 * near**2), 0.0).astype(np.float32)
        noisy = normal + NORMAL_NOISE * rng.standard_normal(normal.shape)
        noisy *= seen[:, None] / np.linalg.norm(noisy, axis=1, keepdims=True)
        height, width = self._size
        shape = (height, width, 3)
        return DepthView(
            np.maximum(depth, 0.0).reshape(height, width),
            noisy.astype(np.float32).reshape(shape),
            exact.astype(np.float32).reshape(height, width),
            np.where(np.isfinite(exact)[:, None], normal, 0.0).astype(np.float32).reshape(shape),
            np.where(hits.index >= 0, ray_scene.owner[hits.index], SCENERY).reshape(height, width),
        )
