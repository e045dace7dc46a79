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

CHANGES = ("day", "rain", "night", "fog", "glare")
"""The contexts of `changing` weather, one after the other."""
CHANGE_PERIOD, BLEND_TIME = 12.0, 3.0
"""Seconds from one context to the next, and the part of them in which the weather passes over."""

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
    """The weather as a function of time, from a name of CONTEXTS, `changing`, a Weather or a function. Raises BadInput."""
    if callable(context):
        return lambda seconds: _checked(context(seconds))
    if context == "changing":
        return _changing([sample(name, rng) for name in CHANGES])
    fixed = _checked(context if isinstance(context, Weather) else sample(context, rng))
    return lambda seconds: fixed


def blend(before: Weather, after: Weather, share: float) -> Weather:
    """The weather between two, `share` 0 to 1 of the way."""
    values = {f.name: (1 - share) * getattr(before, f.name) + share * getattr(after, f.name) for f in fields(Weather)}
    return Weather(**values)


def _changing(weathers: list[Weather]) -> WeatherSchedule:
    def at(seconds: float) -> Weather:
        index, since = divmod(max(seconds, 0.0), CHANGE_PERIOD)
        now = weathers[int(index) % len(weathers)]
        before = weathers[(int(index) - 1) % len(weathers)] if index else now
        return blend(before, now, min(1.0, since / BLEND_TIME))

    return at


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
