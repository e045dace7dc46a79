# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Weather of a drive, drawn by the name of a context, and its effect on light and visibility."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import numpy as np

from ...datatypes import BadInput
from ..truth import Weather

CONTEXTS = ("day", "dusk", "night", "rain", "fog", "glare", "mixed")

WeatherSchedule = Callable[[float], Weather]
"""Seconds since the start of the drive -> Weather."""


def sample(context: str, rng: np.random.Generator) -> Weather:
    """Draw the weather of `context`; `mixed` draws a context first. Raises BadInput."""
    if context not in CONTEXTS:
        raise BadInput(f"context is {context!r}, not one of {list(CONTEXTS)}")
    if context == "mixed":
        context = str(rng.choice(["day", "night", "rain", "fog", "glare", "dusk"], p=[0.28, 0.22, 0.15, 0.15, 0.12, 0.08]))
    # A lens is dirty in 15 % of the drives, independent of the weather.
    dirt = float(rng.uniform(0.2, 0.8)) if rng.random() < 0.15 else 0.0
    if context == "night":
        return Weather(light=float(rng.uniform(0.0, 0.1)), dirt=dirt)
    if context == "dusk":
        return Weather(light=float(rng.uniform(0.18, 0.42)), dirt=dirt)
    light = float(rng.uniform(0.6, 1.0))
    if context == "rain":
        wet = float(rng.uniform(0.2, 1.0))
        return Weather(light=float(rng.uniform(0.25, 0.7)), rain=float(rng.uniform(0.4, 1.0)), wet_lens=wet, dirt=dirt)
    if context == "fog":
        return Weather(light=float(rng.uniform(0.3, 0.9)), fog=float(rng.uniform(0.4, 1.0)), dirt=dirt)
    if context == "glare":
        return Weather(light=float(rng.uniform(0.45, 0.9)), glare=float(rng.uniform(0.5, 1.0)), dirt=dirt)
    return Weather(light=light, dirt=dirt)


def weather_schedule(context: str | Weather | WeatherSchedule, rng: np.random.Generator) -> WeatherSchedule:
    """The weather as a function of time, from a name, a fixed Weather or a function. Raises BadInput."""
    if callable(context):
        return lambda seconds: _checked(context(seconds))
    fixed = _checked(context if isinstance(context, Weather) else sample(context, rng))
    return lambda seconds: fixed


def _checked(weather: Weather) -> Weather:
    if not isinstance(weather, Weather):
        raise BadInput(f"context gives {type(weather).__name__}, not a Weather")
    for field in fields(Weather):
        value = getattr(weather, field.name)
        if not (isinstance(value, (int, float)) and math.isfinite(value) and 0.0 <= value <= 1.0):
            raise BadInput(f"weather.{field.name} is {value!r}, not a number between 0 and 1")
    return weather


def extinction(weather: Weather) -> float:
    """Extinction of visible light by fog and rain [1/m]; full fog leaves 5 % of the contrast at 33 m (Koschmieder)."""
    return 0.0003 + 0.09 * weather.fog**1.5 + 0.012 * weather.rain


def lidar_extinction(weather: Weather) -> float:
    """Extinction of the laser, one way [1/m]; close to visible light in fog, where drops are larger than both wavelengths."""
    return 0.0002 + 0.11 * weather.fog**1.5 + 0.03 * weather.rain


def headlights_on(weather: Weather) -> bool:
    """Whether drivers have their head lights on."""
    return weather.light < 0.45 or weather.fog > 0.3 or weather.rain > 0.3
