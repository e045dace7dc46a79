# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clock offsets between sensors, from the ages of their latest data."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..datatypes import Health


def clock_offsets(healths: Iterable[Health]) -> dict[str, float]:
    """By "modality/source": by how much [s] its stamps are ahead of the median of the other sensors; only sensors with data.

    Data is up to one period old when its age is measured, so an offset of less than a period has no meaning.
    """
    ages = {f"{item.modality}/{item.source}": item.age for item in healths if item.stamp}
    offsets = {}
    for name, age in ages.items():
        others = [other for key, other in ages.items() if key != name]
        if others:
            offsets[name] = float(np.median(others)) - age
    return offsets
