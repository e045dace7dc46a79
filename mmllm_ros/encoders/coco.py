# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Class names of detectors -> probabilities of our ten classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..datatypes import BadInput
from .objects import CATEGORIES

COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light", "fire hydrant",
    "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra",
    "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork",
    "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut",
    "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush",
)  # fmt: skip
"""The 80 classes in the order of most exports."""

MEANINGS: dict[str, dict[str, float]] = {
    "person": {"pedestrian": 1.0},
    "pedestrian": {"pedestrian": 1.0},
    "bicycle": {"bicycle": 1.0},
    "cyclist": {"bicycle": 1.0},
    "car": {"car": 1.0},
    "van": {"car": 1.0},
    "motorcycle": {"motorcycle": 1.0},
    "motorbike": {"motorcycle": 1.0},
    "bus": {"bus": 1.0},
    "truck": {"truck": 0.8, "trailer": 0.08, "construction vehicle": 0.08, "car": 0.04},
    "traffic cone": {"traffic cone": 1.0},
    "barrier": {"barrier": 1.0},
    "trailer": {"trailer": 1.0},
    "construction vehicle": {"construction vehicle": 1.0},
}
"""What a detector's class says about ours; other names mean nothing to questions."""


def class_table(names: Sequence[str], more: Mapping[str, Mapping[str, float]] | None = None) -> np.ndarray:
    """Rows for a detector's classes `names`: probabilities of CATEGORIES, [len(names), 10], zero rows for names without a
    meaning.

    `more` adds to MEANINGS or replaces some of them. Raises BadInput for a class of ours that does not exist, and where no name
    has a meaning.
    """
    meanings = {**MEANINGS, **(more or {})}
    table = np.zeros((len(names), len(CATEGORIES)))
    for row, name in enumerate(names):
        for category, share in meanings.get(name.lower().replace("_", " "), {}).items():
            if category not in CATEGORIES:
                raise BadInput(f"class {name!r} is mapped to {category!r}, which is not one of {list(CATEGORIES)}")
            table[row, CATEGORIES.index(category)] = share
    if not table.any():
        raise BadInput(f"none of the detector's classes {list(names)[:8]} has a meaning: map them in `meanings`")
    return table
