# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Health signals of sound, depth, normals and arrays (units and meanings: health_signals.SIGNALS)."""

from __future__ import annotations

import numpy as np

RATE = 16_000
"""Samples a second of a sound (encoders/universal/signals.py)."""
CLIPPING = 0.999
"""A sample of at least this size is at the end of the range."""
QUIETEST = 1e-6

_MAINS = (50.0, 60.0)
_HARMONICS = 8
_WINDOW = 16_000


def audio_signals(sound: np.ndarray, previous: np.ndarray | None = None) -> dict[str, float]:
    """Signals of a sound float32 [microphones, samples] in -1 to 1; `previous` is the last measured one."""
    power = np.square(sound, dtype=np.float64).mean(axis=1) if sound.size else np.zeros(len(sound))
    level = 10 * np.log10(power + QUIETEST**2)
    return {
        "loudness": float(level.max()),
        "silent_microphones": float((level < level.max() - 40.0).sum()) if level.max() > -100.0 else float(len(level)),
        "clipping": float((np.abs(sound) >= CLIPPING).mean()) if sound.size else 0.0,
        "hum": _hum(sound),
        "frozen": _frozen(sound, previous),
    }


def _hum(sound: np.ndarray) -> float:
    """Share of the power at multiples of the mains frequency, in lines much narrower than those of an engine."""
    latest = sound[:, -_WINDOW:]
    if latest.shape[1] < _WINDOW // 2:
        return 0.0
    loudest = latest[int(np.square(latest).mean(axis=1).argmax())].astype(np.float64)
    spectrum = np.square(np.abs(np.fft.rfft((loudest - loudest.mean()) * np.hanning(len(loudest)))))
    total = spectrum.sum()
    if total < 1e-9:
        return 0.0
    step = RATE / len(loudest)
    shares = []
    for mains in _MAINS:
        lines = np.round(mains * np.arange(1, _HARMONICS + 1) / step).astype(int)
        shares.append(sum(spectrum[max(line - 1, 0) : line + 2].sum() for line in lines) / total)
    return float(max(shares))


def depth_signals(depth: np.ndarray, previous: np.ndarray | None = None) -> dict[str, float]:
    """Signals of a depth image [1, h, w], metres, 0 or not finite = no reading; `previous` is the last measured one."""
    known = depth[np.isfinite(depth) & (depth > 0)]
    return {
        "missing_share": float(1.0 - known.size / max(depth.size, 1)),
        "nearest": float(np.percentile(known, 1)) if known.size else 0.0,
        "frozen": _frozen(depth, previous),
    }


def normal_signals(normals: np.ndarray, previous: np.ndarray | None = None) -> dict[str, float]:
    """Signals of surface normals [3, h, w], all 0 = no reading; `previous` is the last measured one."""
    known = np.abs(normals).sum(axis=0) > 0
    return {"missing_share": float(1.0 - known.mean()) if known.size else 1.0, "frozen": _frozen(normals, previous)}


def array_signals(values: np.ndarray, previous: np.ndarray | None = None) -> dict[str, float]:
    """Signals of an array [channels, samples]; `previous` is the last measured one."""
    constant = np.ptp(values, axis=1) == 0.0
    return {
        "dead_channels": float(constant.sum()) if values.shape[1] > 1 else 0.0,
        "spread": float(values.std()),
        "frozen": _frozen(values, previous),
    }


def _frozen(newest: np.ndarray, previous: np.ndarray | None) -> float:
    return float(previous is not None and newest.size > 0 and np.array_equal(newest, previous))
