# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Faults of depth cameras, microphones and arrays: what the health signals must find and what answers must survive."""

from __future__ import annotations

import numpy as np

from ...datatypes import BadInput

FAULTS = {
    "audio": ("silence", "clipping", "hum", "dead channel"),
    "depth": ("holes",),
    "normals": ("holes",),
    "array": ("silence",),
}
"""The faults of each kind of signal. Cameras, lidar and IMU have theirs in faults.py."""


def with_fault(kind: str, values: np.ndarray, fault: str, rng: np.random.Generator) -> np.ndarray:
    """A copy of `values`, one signal of `kind`, with one of FAULTS. Raises BadInput for another fault."""
    if fault not in FAULTS.get(kind, ()):
        raise BadInput(f"fault {fault!r} of {kind} is not one of {FAULTS}")
    if fault == "silence":
        return np.zeros_like(values)
    if fault == "clipping":
        peak = max(float(np.abs(values).max()), 1e-3)
        return np.clip(values * (20.0 / peak), -1.0, 1.0).astype(np.float32)
    if fault == "hum":
        time = np.arange(values.shape[-1]) / 16_000.0
        hum = sum(np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6.3)) / k for k in (1, 2, 3, 5))
        return np.clip(values + 0.12 * hum, -1.0, 1.0).astype(np.float32)
    if fault == "dead channel":
        spoiled = values.copy()
        spoiled[rng.integers(len(values))] = 0.0
        return spoiled
    lost = rng.random(values.shape[-2:]) < 0.95
    return np.where(lost, np.float32(0.0), values)
