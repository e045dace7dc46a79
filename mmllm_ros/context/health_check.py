# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Signals -> whether a sensor can be believed, and if not, why: one rule a line."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MAX_AHEAD = 0.5
"""A stamp so far in the future [s] comes from a wrong clock."""


def judge(signals: Mapping[str, float], age: float, stale_after: float, silence: float | None = None) -> tuple[bool, str]:
    """Whether a sensor can be believed, and if not, why, in a sentence that stays the same while nothing changes.

    Args:
        signals: of the newest frame, empty before the first.
        age: of the newest frame by its stamp [s].
        stale_after: longest age [s].
        silence: how long ago the newest frame came in [s], None where only its stamp is known.
    """
    if not signals:
        return False, "nothing has arrived yet"
    if age > stale_after:
        if silence is not None and silence <= stale_after:
            return False, f"stamps lie more than {stale_after:g} s in the past, is its clock right?"
        return False, f"silent for more than {stale_after:g} s"
    if age < -MAX_AHEAD:
        return False, f"stamps lie more than {MAX_AHEAD:g} s in the future, is its clock right?"
    for faulty, reason in _FAULTS:
        if faulty(signals):
            return False, reason
    return True, ""


def _outside(name: str, low: float = -np.inf, high: float = np.inf):
    return lambda signals: name in signals and not low <= signals[name] <= high


_FAULTS = (
    (_outside("frozen", high=0.5), "frozen, the same frame again and again"),
    (_outside("black", high=0.995), "black picture"),
    (_outside("saturated", high=0.9), "overexposed picture"),
    (_outside("contrast", low=0.01), "covered, the picture has no contrast"),
    (_outside("covered", high=0.3), "partly covered, 30 % of the picture or more is dark and without any grain"),
    (_outside("points", low=50), "hardly any returns"),
    (_outside("near", high=0.95), "covered, nearly all returns are closer than 3 m"),
    (_outside("samples", low=2), "too few samples in a second"),
    (_outside("stuck", high=2.5), "stuck, three or more of the six axes do not change"),
    (_outside("clipped", high=0.2), "clipped, a fifth of the samples or more stand at the end of the range"),
    (_outside("gravity", low=4.9, high=19.6), "specific force is far from gravity, is gravity_removed right in the rig?"),
)
