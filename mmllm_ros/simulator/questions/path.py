# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which objects stand in the way straight ahead of the ego vehicle."""

from __future__ import annotations

import math

from ..truth import SceneObject

LENGTH = 15.0
"""How far [m] the way ahead is looked at."""
HALF_WIDTH = 1.1
"""Half of the width [m] that the ego vehicle takes."""
MARGIN = 0.6
"""An object this close [m] to the edge of the way is neither clearly in it nor clearly beside it."""


def in_the_way(item: SceneObject) -> bool | None:
    """Whether the box of `item` reaches into the way ahead; None between the clear cases.

    The way is LENGTH long and 2 * HALF_WIDTH wide, straight ahead of the origin of the base frame.
    """
    x, y, _ = item.position
    length, width = item.size[:2]
    cos, sin = abs(math.cos(item.yaw)), abs(math.sin(item.yaw))
    ahead, aside = (length * cos + width * sin) / 2, (length * sin + width * cos) / 2
    near, gap = x - ahead, abs(y) - aside
    if x <= 0 or near > LENGTH + MARGIN or gap > HALF_WIDTH + MARGIN:
        return False
    return True if near < LENGTH - MARGIN and gap < HALF_WIDTH - MARGIN else None
