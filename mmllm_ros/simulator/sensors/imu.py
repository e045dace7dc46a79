# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated IMU: specific force and turn rates at 100 Hz, with bias, noise and vibration of engine and road."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

SIMULATED_GRAVITY = 9.81  # not datatypes.GRAVITY: the shipped weights are trained on and tested against this value
RATE = 100


class Imu:
    """One IMU; its bias is drawn once. It works in REP-103 axes."""

    def __init__(self, rng: np.random.Generator):
        self._bias = np.concatenate([rng.normal(0, 0.04, 3), rng.normal(0, 0.004, 3)])
        self._engine = float(rng.uniform(18, 32))

    def window(self, log: Sequence[tuple[float, float, float, float]], rng: np.random.Generator) -> np.ndarray:
        """Samples float32 [n, 6] from n steps of (speed, yaw rate, acceleration, bump acceleration), oldest first."""
        speed, turning, along, bump = np.asarray(log, float).T
        count = len(speed)
        phase = 2 * math.pi * self._engine * np.arange(count) / RATE + rng.uniform(0, 2 * math.pi)
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
        return samples.astype(np.float32)
