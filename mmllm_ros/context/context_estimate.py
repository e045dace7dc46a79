# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Health signals of all sensors -> the context: levels of light, fog, rain and glare, and a name.

Each level is a weighted sum of signals, clipped to 0 to 1; for light the sum is logarithmic. The weights are in
config/context.json. Each signal is clipped to the range that it had when the weights were fitted, so that one signal outside
its range cannot dominate.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np

from ..datatypes import Health
from ..resources import shared_folder

LEVELS = ("light", "glare", "rain", "fog")
"""What is estimated, each from 0 to 1 as in the simulator: light is 1 at noon and 0 at night, the others are 0 when absent."""

NAMES = ("day", "dusk", "night", "glare", "rain", "fog")
"""Names of light and weather; besides, `covered` and `unknown` mean that neither is known."""

PRESENT = 0.3
"""The highest level above this threshold names the context."""

FLOOR = 0.05
"""The sum for light is log(light + FLOOR)."""

NIGHT, DUSK = 0.15, 0.45
"""Light below NIGHT is night, light below DUSK is dusk."""

STILL = 0.08
"""With vibration [m/s^2] below this the vehicle stands, engine on."""

TURNING = 0.055
"""From this yaw rate [rad/s] on the vehicle turns."""

COVERED = 0.3
"""From this covered share of the image on the context is `covered`."""

_log: Callable[[float], float] = lambda value: math.log(max(value, 1e-3))  # noqa: E731
SCALES: dict[str, dict[str, Callable[[float], float]]] = {
    "camera": {
        "luminance": float, "dimness": float,
        "contrast": float, "sharpness": _log, "haze": float, "saturated": math.sqrt, "grain": _log,
    },
    "lidar": {"reach": _log, "range_spread": _log, "ghosts": math.sqrt, "near": math.sqrt},
}  # fmt: skip
"""The signals of each modality from which the levels are computed, and the scale on which they are summed.

Lidar intensities are left out: their scale differs between makes, and with them real fog was classified as rain.
"""


@dataclass(frozen=True, slots=True)
class Context:
    """Light and weather as `levels` with a `name`, and the motion of the vehicle. A level that cannot be estimated is missing.

    `errors` are the standard errors of the levels; for light that of log(light + FLOOR).
    """

    name: str = "unknown"
    motion: str = ""
    levels: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)

    def chance_above(self, level: str, threshold: float) -> float:
        """The probability that `level` is above `threshold`, where the error is normally distributed. Raises KeyError."""
        value = self.levels[level]
        if level == "light":
            value, threshold = math.log(value + FLOOR), math.log(threshold + FLOOR)
        return NormalDist(threshold, self.errors[level]).cdf(value)

    def __str__(self) -> str:
        name = "" if self.name == "unknown" and self.motion else self.name
        return ", ".join(word for word in (name, self.motion) if word)


@dataclass(frozen=True, slots=True)
class Weight:
    """Weight of a scaled signal in a level, and the range to which the signal is clipped."""

    weight: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LevelFit:
    """The weighted sum that gives a level, and its standard error on the drives of the fit."""

    offset: float
    error: float
    signals: Mapping[str, Weight]


Weights = Mapping[str, Mapping[str, LevelFit]]
"""By modalities ("camera", "lidar", "camera+lidar"), by level."""


def estimate(healths: Iterable[Health], weights: Weights | None = None) -> Context:
    """The context now, from healthy sensors. Signals of several cameras are averaged."""
    healths = list(healths)
    seen = {
        modality: mean
        for modality, signals in SCALES.items()
        if (mean := _mean([item for item in healths if item.modality == modality and item.healthy], signals))
    }
    imus = [item.signals for item in healths if item.healthy and "vibration" in item.signals]
    motion = _motion(imus[0]) if imus else ""
    table = (weights or shipped_weights()).get("+".join(sorted(seen)), {})
    signals = {name: value for mean in seen.values() for name, value in mean.items()}
    levels = {level: _level(level, row, signals) for level, row in table.items()}
    errors = {level: row.error for level, row in table.items()}
    cameras = [item.signals for item in healths if item.modality == "camera"]
    if "camera" not in seen and any(item.get("covered", 0.0) > COVERED for item in cameras):
        return Context("covered", motion, levels, errors)
    return Context(name_of(levels), motion, levels, errors)


def name_of(levels: Mapping[str, float]) -> str:
    """The strongest condition, one of NAMES or `unknown`."""
    weather = {level: value for level, value in levels.items() if level != "light" and value > PRESENT}
    if weather:
        return max(weather, key=weather.__getitem__)
    if "light" not in levels:
        return "unknown"
    return "night" if levels["light"] < NIGHT else "dusk" if levels["light"] < DUSK else "day"


def scaled(signals: Mapping[str, float], modality: str) -> dict[str, float]:
    """The signals of a modality from which the levels are computed, scaled as in SCALES."""
    return {name: scale(max(0.0, signals[name])) for name, scale in SCALES[modality].items()}


def read_weights(path: Path) -> Weights:
    """The weights in a file written by `mmllm context --fit`."""
    return {
        modalities: {
            level: LevelFit(row["offset"], row["error"], {name: Weight(*numbers) for name, numbers in row["signals"].items()})
            for level, row in levels.items()
        }
        for modalities, levels in json.loads(path.read_text()).items()
    }


@cache
def shipped_weights() -> Weights:
    """The weights in config/context.json."""
    return read_weights(shared_folder() / "config" / "context.json")


def _mean(healths: Sequence[Health], wanted: Mapping[str, object]) -> dict[str, float]:
    known = [item for item in healths if set(wanted) <= set(item.signals)]
    rows = [scaled(item.signals, item.modality) for item in known]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}


def _level(level: str, row: LevelFit, signals: Mapping[str, float]) -> float:
    total = row.offset + sum(item.weight * min(max(signals[name], item.low), item.high) for name, item in row.signals.items())
    return min(max(math.exp(total) - FLOOR if level == "light" else total, 0.0), 1.0)


def _motion(signals: Mapping[str, float]) -> str:
    if signals["vibration"] < STILL:
        return "standing"
    rate = signals.get("turn_rate", 0.0)
    return "moving" if abs(rate) < TURNING else "turning left" if rate > 0 else "turning right"
