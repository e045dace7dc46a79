# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Radiance along camera rays from sun, sky, street lights and head lights, through fog and rain."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..truth import Weather
from ..world.ground import facade_look, ground_look
from ..world.mesh import Surface
from ..world.ray_scene import Hits, RayScene
from ..world.town import Town
from ..world.weather import extinction, headlights_on


@dataclass(frozen=True, slots=True)
class LightingScene:
    """Inputs of shading: direction to the sun (unit vector), weather, and pose of the ego."""

    town: Town
    weather: Weather
    sun: np.ndarray
    ego: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Radiance:
    """Total radiance, float32 [N, 3]; its part from fog and glare [N]; and the radiance of a grey surface at the hit [N]."""

    total: np.ndarray
    veil: np.ndarray
    useful: np.ndarray


def sun_strength(weather: Weather) -> float:
    """Illuminance of the direct sun, about 1.5 at a clear noon."""
    return 1.5 * weather.light**1.5 * (1 - 0.9 * max(weather.rain, weather.fog) ** 0.5)


def sky_colour(weather: Weather) -> np.ndarray:
    """Light of the sky at the zenith, linear RGB: blue by day, grey under cloud, warm at dusk, almost black at night."""
    grey = max(weather.rain, weather.fog)
    clear, cloudy = np.array([0.32, 0.5, 0.85]), np.array([0.55, 0.57, 0.6])
    dusk = math.exp(-(((weather.light - 0.28) / 0.16) ** 2))
    colour = (clear * (1 - grey) + cloudy * grey) * (1 - dusk) + np.array([0.75, 0.45, 0.35]) * dusk
    return (colour * (0.005 + 0.85 * weather.light**1.3)).astype(np.float32)


def shade(scene: LightingScene, ray_scene: RayScene, rays: np.ndarray, hits: Hits, pixel: float) -> Radiance:
    """Light that arrives along rays [N, 6]; `pixel` is the angle between rays [rad], by which textures are smoothed."""
    weather, sky = scene.weather, sky_colour(scene.weather)
    direction = rays[:, 3:]
    solid = np.flatnonzero(hits.index >= 0)
    total = _sky(scene, direction, sky)
    useful = np.zeros(len(rays), np.float32)
    if len(solid):
        lit, light = _surfaces(scene, ray_scene, rays[solid], hits, solid, pixel, sky)
        total[solid], useful[solid] = lit, 0.18 * light
    clear = np.exp(-extinction(weather) * np.minimum(hits.depth, 400.0)).astype(np.float32)
    air = sky.mean() * np.array([0.97, 1.0, 1.03], np.float32) * (0.75 + 0.25 * weather.light) + _backscatter(weather)
    total = total * clear[:, None] + air * (1 - clear[:, None])
    glare = _glare(scene, direction)
    veil = air.mean() * (1 - clear) + glare
    return Radiance(total + glare[:, None] * np.array([1.0, 0.93, 0.8], np.float32), veil, useful * clear)


def _sky(scene: LightingScene, direction: np.ndarray, sky: np.ndarray) -> np.ndarray:
    up = np.clip(direction[:, 2:3], 0, 1)
    pale = sky.mean() * np.array([1.1, 1.08, 1.05], np.float32) * (1.0 + 0.35 * scene.weather.light)
    cloud = 0.5 + 0.5 * np.sin(direction[:, :1] / (up + 0.15) * 1.3) * np.sin(direction[:, 1:2] / (up + 0.15) * 1.7 + 1)
    colour = pale * (1 - up) ** 3 + sky * (1 - (1 - up) ** 3)
    return (colour * (0.88 + 0.24 * cloud)).astype(np.float32)


def _surfaces(
    scene: LightingScene, ray_scene: RayScene, rays, hits: Hits, solid, pixel: float, sky
) -> tuple[np.ndarray, np.ndarray]:
    """Radiance of surfaces towards the camera [N, 3], and the illuminance there [N]."""
    weather = scene.weather
    origin, direction = rays[:, :3], rays[:, 3:]
    index, depth = hits.index[solid], hits.depth[solid][:, None]
    points = origin + direction * depth
    normal = hits.normal[solid]
    facing = normal[:, 0] * direction[:, 0] + normal[:, 1] * direction[:, 1] + normal[:, 2] * direction[:, 2]
    normal *= np.where(facing > 0, np.float32(-1), np.float32(1))[:, None]
    facing = np.abs(facing)
    surface, albedo, emission = ray_scene.surface[index], ray_scene.colour[index], ray_scene.emission[index]
    floor = np.flatnonzero(surface == Surface.GROUND)
    blur = depth[floor, 0] * pixel / np.sqrt(np.maximum(facing[floor], 0.05))
    albedo[floor] = ground_look(scene.town, points[floor, :2], blur)[0] * (1 - 0.45 * weather.rain)
    walls = np.flatnonzero(surface == Surface.FACADE)
    albedo[walls], window = facade_look(points[walls], normal[walls], albedo[walls])
    evening = float(np.clip((0.5 - weather.light) / 0.3, 0, 1))
    emission[walls] += window[:, None] * np.array([0.5, 0.36, 0.16], np.float32) * (0.35 * evening)

    light = np.empty_like(albedo)
    light[:] = sky * (0.62 + 0.38 * normal[:, 2:3]) * 0.9
    strength = sun_strength(weather)
    if strength > 0.03:
        towards = normal @ scene.sun
        open_sky = np.flatnonzero(towards > 0.02)
        shadow = np.concatenate([points[open_sky] + 0.03 * normal[open_sky], np.tile(scene.sun, (len(open_sky), 1))], 1)
        free = open_sky[~ray_scene.blocked(shadow)]
        low = float(np.clip((0.6 - weather.light) / 0.4, 0, 1))
        light[free] += (strength * towards[free])[:, None] * np.array([1.0, 0.93 - 0.2 * low, 0.82 - 0.4 * low], np.float32)
    if weather.light < 0.5:
        lamps = scene.town.lamp_light(points) * (0.55 + 0.45 * np.maximum(normal[:, 2], 0)) * min(1.0, 4 * (0.5 - weather.light))
        light += 0.6 * lamps[:, None] * np.array([1.0, 0.78, 0.5], np.float32)
    if headlights_on(weather):
        light += _headlights(scene.ego, points, facing)[:, None]
    # Glass reflects part of the sky; wet asphalt and paint do so at grazing angles.
    mirror = (
        np.where(surface == Surface.GLASS, np.float32(0.16), np.float32(0.03)) + (0.04 + 0.1 * weather.rain) * (1 - facing) ** 3
    )
    sent = albedo * light + mirror[:, None] * sky + emission
    brightness = (light[:, 0] + light[:, 1] + light[:, 2]) / 3
    return sent, brightness + 4 * np.maximum(np.maximum(emission[:, 0], emission[:, 1]), emission[:, 2])


def _headlights(ego: tuple[float, float, float], points: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """Illuminance by the ego's own head lights: only ahead, and near."""
    x, y, yaw = ego
    c, s = math.cos(yaw), math.sin(yaw)
    forward = (points[:, 0] - x) * c + (points[:, 1] - y) * s - 3.4
    side = -(points[:, 0] - x) * s + (points[:, 1] - y) * c
    distance = np.sqrt(forward**2 + side**2 + (points[:, 2] - 0.7) ** 2)
    beam = np.exp(-((side / np.maximum(forward, 0.1) / 0.42) ** 2)) * np.exp(-((np.maximum(points[:, 2] - 1.2, 0) / 1.6) ** 2))
    return np.where(forward > 0.2, 18.0 * beam * np.maximum(facing, 0.25) / (distance**2 + 25.0), 0.0).astype(np.float32)


def _backscatter(weather: Weather) -> float:
    """Fog lit by the own head lights."""
    return 0.012 * weather.fog * headlights_on(weather)


def _glare(scene: LightingScene, direction: np.ndarray) -> np.ndarray:
    """The sun's disc, its bloom and the veil over everything near it [N]."""
    if scene.weather.glare == 0:
        return np.zeros(len(direction), np.float32)
    angle = np.arccos(np.clip(direction @ scene.sun, -1, 1))
    bloom = 12.0 * np.exp(-((angle / 0.06) ** 2)) + 4.5 * np.exp(-angle / 0.12) + 1.3 * np.exp(-angle / 0.4)
    return (scene.weather.glare * bloom).astype(np.float32)
