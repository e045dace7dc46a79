# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The seeds of each split. Splits are by scene, not by frame, and their ranges of seeds do not overlap."""

from __future__ import annotations

from ..datatypes import BadInput

FIRST_SEED = {"train": 0, "val": 500_000_000, "test": 1_000_000_000}
MOST_SCENES = 500_000_000


def scene_seed(split: str, number: int) -> int:
    """The seed of scene `number` of `split`. Raises BadInput outside of the split's range."""
    if split not in FIRST_SEED:
        raise BadInput(f"split {split!r} is not one of {list(FIRST_SEED)}")
    if not 0 <= number < MOST_SCENES:
        raise BadInput(f"scene number {number} is not between 0 and {MOST_SCENES - 1}")
    return FIRST_SEED[split] + number
