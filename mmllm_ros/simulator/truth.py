# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth of one moment of a drive. Questions are executed over it and encoders are trained on it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

VEHICLES = ("bus", "car", "construction vehicle", "trailer", "truck")
CYCLES = ("bicycle", "motorcycle")
CATEGORIES = (*VEHICLES, *CYCLES, "pedestrian", "traffic cone", "barrier")
"""The ten nuScenes detection classes."""

STATUSES = ("moving", "stopped", "parked", "with rider", "without rider", "standing", "not standing")
"""Vehicles: moving, stopped, parked. Cycles: with or without rider. Pedestrians: moving, standing, not standing (sits)."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Light and weather, each in [0, 1]. `light` is 1 at noon and 0 at night; the others are 0 when absent."""

    light: float = 1.0
    glare: float = 0.0
    rain: float = 0.0
    fog: float = 0.0
    wet_lens: float = 0.0
    dirt: float = 0.0

    @property
    def name(self) -> str:
        """The strongest condition in one word: fog, rain, glare, night, dusk or day."""
        for condition, level in (("fog", self.fog), ("rain", self.rain), ("glare", self.glare)):
            if level > 0.3:
                return condition
        return "night" if self.light < 0.15 else "dusk" if self.light < 0.45 else "day"

    @property
    def daylight(self) -> str | None:
        """Day, dusk or night, by the light alone; None between the clear cases, and in the grey light of fog and rain."""
        if self.light < 0.13:
            return "night"
        if self.light >= 0.5:
            return "day"
        clear = max(self.fog, self.rain) <= 0.3 and 0.17 <= self.light < 0.4
        return "dusk" if clear else None


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One road user or obstacle, in the base frame of the ego vehicle at the stamp of the truth.

    `position` is the centre of its box [m], `yaw` [rad], `size` length, width, height [m], `velocity` over ground in base
    axes [m/s]. `pixels` counts, per camera, the pixels that show it (occlusion counted, weather not); `clear_pixels` those
    whose contrast survives light and weather. `returns` counts lidar returns before dropouts, `clear_returns` after.
    """

    identifier: int
    category: str
    status: str
    position: tuple[float, float, float]
    yaw: float
    size: tuple[float, float, float]
    velocity: tuple[float, float]
    colour: str
    pixels: dict[str, int]
    clear_pixels: dict[str, int]
    returns: int
    clear_returns: int


@dataclass(frozen=True, slots=True)
class TrafficLight:
    """The light that governs the ego lane. `state` is red, yellow or green; `position` in the base frame [m]."""

    state: str
    position: tuple[float, float, float]
    pixels: dict[str, int]
    clear_pixels: dict[str, int]


@dataclass(frozen=True, slots=True)
class EgoMotion:
    """Speed [m/s], yaw rate [rad/s], longitudinal acceleration [m/s^2] of the ego vehicle over the last second."""

    speed: float
    yaw_rate: float
    acceleration: float


@dataclass(frozen=True, slots=True)
class SceneTruth:
    """Ground truth at `stamp` [ns]. `scene` is the name of the drive, `token` the identifier of this moment."""

    stamp: int
    scene: str
    token: str
    weather: Weather
    ego: EgoMotion
    objects: tuple[SceneObject, ...]
    traffic_light: TrafficLight | None

    def to_json(self) -> dict:
        """A plain dictionary, as kept in scene.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: dict) -> SceneTruth:
        """The inverse of `to_json`."""
        light = content["traffic_light"]
        objects = tuple(
            SceneObject(**{**item, **{key: tuple(item[key]) for key in ("position", "size", "velocity")}})
            for item in content["objects"]
        )
        return cls(
            **{
                **content,
                "weather": Weather(**content["weather"]),
                "ego": EgoMotion(**content["ego"]),
                "objects": objects,
                "traffic_light": TrafficLight(**{**light, "position": tuple(light["position"])}) if light else None,
            }
        )
