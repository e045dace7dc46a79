# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Signals of all sensors -> the context in a word or two: coarse, for the plan's text and for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..datatypes import Health

DARK = 0.2
"""Mean luminance below this is night."""

HAZY = 0.35
"""Dark-channel haze above this, with SOFT edges, is fog; a white wall is hazy but sharp."""

SOFT = 0.02
"""Sharpness below this has lost its edges."""

GLARING = 0.15
"""More than this share of saturated pixels is glare."""

STILL = 0.05
"""Vibration [m/s^2] below this is a vehicle at rest."""


def estimate(healths: Sequence[Health]) -> str:
    """The context as `light[, motion]`: fog, glare, night or day, and standing or moving. "unknown" where no sensor tells.

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
    if camera["haze"] > HAZY and camera["sharpness"] < SOFT:
        return "fog"
    return "glare" if camera["saturated"] > GLARING else "day"
