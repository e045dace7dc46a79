# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whose clock is off: the age of each sensor's newest reading, compared with the others'."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..datatypes import Health


def clock_offsets(healths: Iterable[Health]) -> dict[str, float]:
    """By "modality/source": how far its stamps run ahead of the other sensors' [s], their median taken; only sensors that send.

    A reading is up to a period old when its age is told, so that less than a period means nothing.
    """
    ages = {f"{item.modality}/{item.source}": item.age for item in healths if item.stamp}
    offsets = {}
    for name, age in ages.items():
        others = [other for key, other in ages.items() if key != name]
        if others:
            offsets[name] = float(np.median(others)) - age
    return offsets
