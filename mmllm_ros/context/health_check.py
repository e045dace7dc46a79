# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Health signals -> whether a sensor is healthy, and if not, why: one rule per line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MAX_AHEAD = 0.5
"""A stamp further in the future [s] comes from a wrong clock."""

CLOCK_QUESTION = "is its clock right?"

MAX_SILENCE = 5.0
"""After so long without a message [s of steady time] a sensor is silent, also where /clock has stopped with it."""


def check_health(signals: Mapping[str, float], age: float, stale_after: float, silence: float | None = None) -> tuple[bool, str]:
    """Whether a sensor is healthy, and if not, a reason that does not change while the fault stays the same.

    Args:
        signals: of the newest frame, empty before the first.
        age: of the newest frame by its stamp [s].
        stale_after: longest age [s].
        silence: steady time since the newest frame arrived [s], None where only its stamp is known.
    """
    if not signals:
        return False, "no data has arrived yet"
    if age > stale_after:
        if silence is not None and silence <= stale_after:
            return False, f"stamps lie more than {stale_after:g} s in the past, {CLOCK_QUESTION}"
        return False, f"no data for more than {stale_after:g} s"
    if is_silent(stale_after, silence):
        return False, f"no data for more than {max(stale_after, MAX_SILENCE):g} s, and the clock has stopped too"
    if age < -MAX_AHEAD:
        return False, f"stamps lie more than {MAX_AHEAD:g} s in the future, {CLOCK_QUESTION}"
    for faulty, reason in _FAULTS:
        if faulty(signals):
            return False, reason
    return True, ""


def is_silent(stale_after: float, silence: float | None) -> bool:
    """Whether no message has arrived for too long in steady time; arguments as in check_health."""
    return silence is not None and silence > max(stale_after, MAX_SILENCE)


def reading_note(signals: Mapping[str, float]) -> str:
    """What limits the readings of a healthy sensor, or how they are corrected; empty where there is nothing to say."""
    if "tilt_known" not in signals:
        return ""
    notes = [] if signals["tilt_known"] else ["mount tilt not known yet"]
    turned = (("nose_down", "nose down", "nose up"), ("left_down", "left side down", "left side up"))
    notes += [
        f"mounted {abs(signals[name]):.1f} degrees {down if signals[name] > 0 else up}, corrected"
        for name, down, up in turned
        if signals[name]
    ]
    if signals["missing"]:
        notes.append(f"{signals['missing']:.0f} of the six axes not reported")
    return "; ".join(notes)


def _outside(name: str, low: float = -np.inf, high: float = np.inf):
    return lambda signals: name in signals and not low <= signals[name] <= high


def _in_units_of_g(signals: Mapping[str, float]) -> bool:
    return 0.8 < signals.get("gravity", 0.0) < 1.25


_FAULTS = (
    # Before frozen, because zeros repeat.
    (_outside("loudness", low=-75.0), "silent, is the microphone muted, unplugged or on another input?"),
    (_outside("frozen", high=0.5), "frozen, each frame equals the one before"),
    (_outside("black", high=0.995), "black image"),
    (_outside("saturated", high=0.9), "overexposed image"),
    (_outside("contrast", low=0.01), "covered, the image has no contrast"),
    (_outside("covered", high=0.3), "partly covered, 30 % of the image or more is dark and without noise"),
    (_outside("points", low=50), "fewer than 50 returns"),
    (_outside("near", high=0.95), "covered, nearly all returns are closer than 3 m"),
    (_outside("samples", low=2), "too few samples in a second"),
    (_outside("stuck", high=2.5), "stuck, three or more of the six axes do not change"),
    (_outside("clipped", high=0.2), "clipped, a fifth of the samples or more are at the end of the range"),
    (_in_units_of_g, "specific force is about 1 at rest, does the driver publish g instead of m/s^2?"),
    (_outside("gravity", low=4.9, high=19.6), "specific force is far from gravity, is gravity_removed right in the rig?"),
    (_outside("up", low=0.7), "gravity is not along the up axis, do imu.axes in the rig fit how the unit is mounted?"),
    (_outside("silent_microphones", high=0.5), "one microphone or more is silent while others hear sound"),
    (_outside("clipping", high=0.02), "clipping, 2 % of the samples or more are at the end of the range: lower the gain"),
    (_outside("hum", high=0.8), "hum of the mains drowns everything else: check ground and cable of the microphone"),
    (_outside("missing_share", high=0.9), "nine in ten pixels have no depth"),
    (_outside("dead_channels", high=0.5), "one channel or more of the array does not change"),
)
