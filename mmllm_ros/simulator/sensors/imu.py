# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated IMU: specific force and turn rates at 100 Hz, with bias, noise and vibration of engine and road."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...datatypes import BadInput

SIMULATED_GRAVITY = 9.81  # not datatypes.GRAVITY: the shipped weights are trained on and tested against this value
RATE = 100
"""Rate of the log of the motion, and of an IMU without `ImuErrors` [Hz]."""


@dataclass(frozen=True, slots=True)
class ImuErrors:
    """How an IMU differs from the level one at 100 Hz that the encoder was trained with.

    `nose_down`, `left_down` and `yaw` (counter-clockwise) [rad] say how the unit is turned in its mount; `force_bias` [m/s^2] and
    `rate_bias` [rad/s] are in its axes, and grow by `drift` times their value each 100 s; `scale` multiplies the specific
    force; `rate` [Hz] is that of the samples. Raises BadInput.
    """

    nose_down: float = 0.0
    left_down: float = 0.0
    yaw: float = 0.0
    force_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rate_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    drift: float = 0.0
    scale: float = 1.0
    rate: int = RATE

    def __post_init__(self) -> None:
        if not 1 <= self.rate <= 4000:
            raise BadInput(f"imu rate is {self.rate}, not between 1 and 4000 Hz")

    def apply(self, samples: np.ndarray, seconds: float) -> np.ndarray:
        """Samples [n, 6] of a level unit -> float32 [n, 6] of this one, `seconds` after it was switched on."""
        p, r, y = self.nose_down, self.left_down, self.yaw
        pitch = np.array([[math.cos(p), 0, math.sin(p)], [0, 1, 0], [-math.sin(p), 0, math.cos(p)]])
        roll = np.array([[1, 0, 0], [0, math.cos(r), math.sin(r)], [0, -math.sin(r), math.cos(r)]])
        yaw = np.array([[math.cos(y), -math.sin(y), 0], [math.sin(y), math.cos(y), 0], [0, 0, 1]])
        turn = yaw @ pitch @ roll  # columns are the axes of the unit in those of the vehicle
        grown = 1.0 + self.drift * seconds / 100.0
        force = samples[:, :3] @ turn * self.scale + np.array(self.force_bias) * grown
        return np.concatenate([force, samples[:, 3:] @ turn + np.array(self.rate_bias) * grown], axis=1).astype(np.float32)


class Imu:
    """One IMU; its bias is drawn once. It works in REP-103 axes."""

    def __init__(self, rng: np.random.Generator, errors: ImuErrors | None = None):
        self._errors = errors
        self.rate = errors.rate if errors else RATE
        self._bias = np.concatenate([rng.normal(0, 0.04, 3), rng.normal(0, 0.004, 3)])
        self._engine = float(rng.uniform(18, 32))

    def window(
        self, log: Sequence[tuple[float, float, float, float]], rng: np.random.Generator, seconds: float = 0.0
    ) -> np.ndarray:
        """Samples float32 [n, 6] from steps at 100 Hz of (speed, yaw rate, acceleration, bump acceleration), oldest first.

        There are as many samples as steps, or as fit at the rate of the errors; `seconds` is the time since the IMU started.
        """
        motion = np.asarray(log, float)
        if self.rate != RATE:
            moments = np.arange(1 - max(len(motion) * self.rate // RATE, 1), 1) * (RATE / self.rate) + len(motion) - 1
            motion = np.stack([np.interp(moments, np.arange(len(motion)), part) for part in motion.T], axis=1)
        speed, turning, along, bump = motion.T
        count = len(speed)
        phase = 2 * math.pi * self._engine * np.arange(count) / self.rate + rng.uniform(0, 2 * math.pi)
        rough = rng.normal(0, 1, (count, 6)) * (np.minimum(speed, 15.0)[:, None] / 15.0)
        # Braking pitches the vehicle forward, so part of gravity appears on x.
        pitch = -0.012 * along / 3.0
        forward, upward = SIMULATED_GRAVITY * np.sin(pitch), SIMULATED_GRAVITY * np.cos(pitch)
        force = np.stack([along - forward * 0.5, speed * turning, upward + bump], 1)
        rates = np.stack([np.zeros(count), 0.03 * bump, turning], 1)
        samples = np.concatenate([force, rates], 1) + self._bias
        samples[:, :3] += np.stack([np.sin(phase), np.cos(phase), np.sin(2 * phase)], 1) * 0.03 + 0.02 * rng.normal(
            0, 1, (count, 3)
        )
        samples[:, :3] += rough[:, :3] * np.array([0.12, 0.15, 0.45])
        samples[:, 3:] += 0.002 * rng.normal(0, 1, (count, 3)) + rough[:, 3:] * np.array([0.02, 0.015, 0.01])
        return self._errors.apply(samples, seconds) if self._errors else samples.astype(np.float32)
