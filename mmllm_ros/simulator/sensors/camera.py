# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated cameras: pinhole rays, drops and dirt on the lens, exposure, motion blur, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ...rig import CameraMount
from ..truth import Weather
from ..world.ray_scene import SCENERY, Hits, RayScene
from .shading import LightingScene, Radiance, shade

_MAX_GAIN = 9.0


@dataclass(frozen=True, slots=True)
class View:
    """One image: `image` uint8 [h, w, 3], `owner` int32 [h, w] the owner seen, `clear` bool [h, w] enough contrast."""

    image: np.ndarray
    owner: np.ndarray
    clear: np.ndarray


class Camera:
    """A distortion-free pinhole at its mount. `size` is (height, width) in pixels."""

    def __init__(self, mount: CameraMount, size: tuple[int, int]):
        self.mount, self.size = mount, size
        width = size[1]
        self.focal = mount.focal_length(width)
        self._centre = self._directions(0.5, 0.5)
        self._corners = [self._directions(0.2, 0.3), self._directions(0.8, 0.7)]

    def _directions(self, u: float, v: float) -> np.ndarray:
        """Unit vectors [h * w, 3] in the base frame through the point (u, v) of every pixel."""
        height, width = self.size
        across, down = np.meshgrid(np.arange(width) + u - width / 2, np.arange(height) + v - height / 2)
        rays = np.stack([np.full_like(across, self.focal), -across, -down], -1).reshape(-1, 3)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        c, s = math.cos(self.mount.pitch), math.sin(self.mount.pitch)
        tilt = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        c, s = math.cos(self.mount.bearing), math.sin(self.mount.bearing)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        return (rays @ (turn @ tilt.T).T).astype(np.float32)

    def rays(self, pose: tuple[float, float, float], directions: np.ndarray | None = None) -> np.ndarray:
        """Origins and directions float32 [n, 6] in the world through the middle of every pixel, or along `directions`."""
        directions = self._centre if directions is None else directions
        x, y, yaw = pose
        c, s = math.cos(yaw), math.sin(yaw)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
        origin = turn @ np.asarray(self.mount.position, np.float32) + np.array([x, y, 0], np.float32)
        rays = np.empty((len(directions), 6), np.float32)
        rays[:, :3], rays[:, 3:] = origin, directions @ turn.T
        return rays

    def capture(self, scene: LightingScene, ray_scene: RayScene, turning: float, rng: np.random.Generator, lens: Lens) -> View:
        """Take a picture from the ego's pose; `turning` is the yaw rate [rad/s], which smears long exposures."""
        rays = self.rays(scene.ego)
        hits = ray_scene.cast(rays)
        light = shade(scene, ray_scene, rays, hits, 1.0 / self.focal)
        owner = np.where(hits.index >= 0, ray_scene.owner[hits.index], SCENERY)
        total = self._smoothed(scene, ray_scene, hits, light, owner)
        height, width = self.size
        image, clear = expose(
            total.reshape(height, width, 3), light, scene.weather, self.focal * turning, rng, lens.mask(self.size)
        )
        return View(image, owner.reshape(height, width), clear)

    def _smoothed(self, scene: LightingScene, ray_scene: RayScene, hits: Hits, light: Radiance, owner: np.ndarray) -> np.ndarray:
        """Three rays instead of one where neighbouring pixels show different things."""
        height, width = self.size
        # Edges lie between different surfaces of the scenery and between different owners.
        kind = np.where(hits.index >= 0, ray_scene.surface[hits.index] + 64 * (owner + 2), 0).reshape(height, width)
        edge = np.zeros((height, width), bool)
        edge[:, 1:] |= kind[:, 1:] != kind[:, :-1]
        edge[1:] |= kind[1:] != kind[:-1]
        edge[:, :-1] |= edge[:, 1:]
        edge[:-1] |= edge[1:]
        chosen = np.flatnonzero(edge)
        total = light.total
        if len(chosen):
            rays = self.rays(scene.ego, np.concatenate([corner[chosen] for corner in self._corners]))
            finer = shade(scene, ray_scene, rays, ray_scene.cast(rays), 0.5 / self.focal).total
            first, second = np.minimum(finer, 8.0).reshape(2, -1, 3)
            total[chosen] = (np.minimum(total[chosen], 8.0) + first + second) / 3
        return total


class Lens:
    """Drops and dirt on one lens; equal generators and weather give the same spots."""

    def __init__(self, drops: np.random.Generator, dirt: np.random.Generator, weather: Weather):
        self._drops = drops.uniform(0, 1, (int(45 * weather.wet_lens), 3))
        self._spots = dirt.uniform(0, 1, (int(25 * weather.dirt), 3))

    def mask(self, size: tuple[int, int]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """How much each pixel is blurred by drops and darkened by dirt, float32 [h, w, 1] in [0, 1], None for nothing."""
        return self._painted(self._drops, size, 0.02, 0.07, 0.006), self._painted(self._spots, size, 0.02, 0.1, 0.02)

    @staticmethod
    def _painted(spots: np.ndarray, size: tuple[int, int], small: float, large: float, soft: float) -> np.ndarray | None:
        if not len(spots):
            return None
        height, width = size
        mask = np.zeros(size, np.float32)
        for x, y, radius in spots:
            cv2.circle(
                mask, (int(x * width), int(y * height)), max(int((small + (large - small) * radius**3) * width), 1), 1.0, -1
            )
        return cv2.GaussianBlur(mask, (0, 0), max(soft * width, 0.5))[:, :, None]


def expose(
    light: np.ndarray, parts: Radiance, weather: Weather, turning: float, rng: np.random.Generator, lens
) -> tuple[np.ndarray, np.ndarray]:
    """Convert light [h, w, 3] to an image uint8 [h, w, 3] and a mask of sufficient contrast, bool [h, w]."""
    height, width, _ = light.shape
    drops, dirt = lens
    brightness = float(np.minimum(light, 1.5).mean())
    gain = float(np.clip(0.3 / max(brightness, 1e-4), 0.45, _MAX_GAIN))
    gain *= float(rng.uniform(0.9, 1.1))
    bright = np.maximum(light * gain - 1.0, 0.0)
    if bright.any():
        bloom = cv2.GaussianBlur(np.minimum(bright, 6.0), (0, 0), 0.012 * width)
        light = light + 0.35 * bloom / gain
    smear = abs(turning) * (0.004 + 0.002 * gain)
    if smear >= 1.5:
        light = cv2.blur(light, (round(smear), 1))
    keep = np.ones((height, width), np.float32)
    if drops is not None:
        light = light * (1 - drops) + cv2.GaussianBlur(light, (0, 0), 0.045 * width) * drops
        keep *= 1 - 0.9 * drops[:, :, 0]
    if dirt is not None:
        light = light * (1 - 0.8 * dirt) + 0.03 * brightness * dirt
        keep *= 1 - 0.9 * dirt[:, :, 0]
    if weather.rain > 0.05:
        light = light + _streaks(height, width, weather, rng) * (0.35 * brightness)
    noise = 0.004 + 0.0045 * gain
    picture = light * gain
    picture += rng.standard_normal(picture.shape, np.float32) * (noise * np.sqrt(0.25 + np.minimum(np.abs(picture), 4.0)))
    image = (np.clip(picture, 0, 1) ** np.float32(1 / 2.2) * 255 + 0.5).astype(np.uint8)
    signal = parts.useful.reshape(height, width) * keep
    veil = parts.veil.reshape(height, width)
    clear = (signal * gain > 2.2 * noise) & (signal > 0.09 * veil) & (veil * gain < 1.1)
    return image, clear


def _streaks(height: int, width: int, weather: Weather, rng: np.random.Generator) -> np.ndarray:
    layer = np.zeros((height, width), np.float32)
    for x, y, length in rng.uniform(0, 1, (int(70 * weather.rain), 3)):
        start = (int(x * width), int(y * height))
        end = (start[0] + int(0.01 * width), start[1] + int((0.05 + 0.1 * length) * height))
        cv2.line(layer, start, end, 1.0, max(1, width // 400))
    return layer[:, :, None]
