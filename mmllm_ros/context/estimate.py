# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Signals of all sensors -> the context in a word or two: coarse, for the plan's text and for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..datatypes import Health

DARK = 0.4
"""Mean luminance below this is night: a camera's exposure lifts the dark, but not to the level of day."""

HAZY = 0.3
"""Dark-channel haze above this, with SOFT edges, is fog; a white wall is hazy but sharp."""

SOFT = 0.016
"""Sharpness below this has lost its edges; rain and a wet lens stay above."""

STILL = 0.08
"""Vibration [m/s^2] below this is a vehicle at rest with its engine on."""


def estimate(healths: Sequence[Health]) -> str:
    """The context as `light, motion`: fog, night or day, then standing or moving. "unknown" where no sensor tells.

    Only believed sensors count. Several cameras are averaged: one in the shade does not make a night.
    """
    cameras = [health.signals for health in healths if health.healthy and "luminance" in health.signals]
    imus = [health.signals for health in healths if health.healthy and "vibration" in health.signals]
    words = []
    if cameras:
        mean = {name: float(np.mean([signals[name] for signals in cameras])) for name in cameras[0]}
        words.append(_light(mean))
    if imus:
        words.append("standing" if imus[0]["vibration"] < STILL else "moving")
    return ", ".join(words) or "unknown"


def _light(camera: dict[str, float]) -> str:
    if camera["luminance"] < DARK:
        return "night"
    return "fog" if camera["haze"] > HAZY and camera["sharpness"] < SOFT else "day"
