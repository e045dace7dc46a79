# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plain data as in vision_msgs Detection3DArray -> detections in the base frame. The ROS node only copies the fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..datatypes import BadInput
from .coco import class_table
from .objects import CATEGORIES, Detection

DOUBT = 0.02
"""Share of the class posterior that is spread evenly over all classes."""


@dataclass(frozen=True, slots=True)
class Box3D:
    """One detection: `hypotheses` are pairs (class_id, score) as in ObjectHypothesisWithPose, `centre` [m] in the frame of the
    message, `deviation` [m] of the centre where the covariance gives it, 0 otherwise."""

    hypotheses: tuple[tuple[str, float], ...]
    centre: tuple[float, float, float]
    deviation: float = 0.0


def detections_of(
    boxes: Sequence[Box3D], base_from_frame: np.ndarray, meanings: Mapping[str, Mapping[str, float]] | None = None
) -> list[Detection]:
    """Boxes in the frame of a message -> detections in the base frame.

    Args:
        boxes: in any order; a box without a class that means one of CATEGORIES, or with a centre that is not a number, is left
            out.
        base_from_frame: [4, 4], turns coordinates of the message's frame into those of the base frame.
        meanings: what class names say about ours, added to coco.MEANINGS: {"7": {"truck": 1.0}}.

    Raises BadInput where a score lies outside 0..1 or the matrix is not [4, 4].
    """
    if np.shape(base_from_frame) != (4, 4):
        raise BadInput(f"base_from_frame is {list(np.shape(base_from_frame))}, not [4, 4]")
    found = []
    for box in boxes:
        place = (np.asarray(base_from_frame, dtype=float) @ np.array([*box.centre, 1.0]))[:3]
        scores = _scores(box, meanings)
        if scores is None or not np.isfinite(place).all():
            continue
        away = max(math.hypot(place[0], place[1]), 0.5)
        classes = (1 - DOUBT) * scores / scores.sum() + DOUBT / len(CATEGORIES)
        bearing, elevation = math.atan2(place[1], place[0]), math.atan2(place[2], away)
        found.append(Detection(float(min(scores.sum(), 1.0)), classes, bearing, elevation, away, box.deviation / away))
    return found


def _scores(box: Box3D, meanings: Mapping[str, Mapping[str, float]] | None) -> np.ndarray | None:
    """Scores [10] of our classes, None where no hypothesis means one of them."""
    outside = [score for _, score in box.hypotheses if not 0.0 <= score <= 1.0]
    if outside:
        raise BadInput(f"a detection has score {outside[0]}, not between 0 and 1")
    try:
        table = class_table([name for name, _ in box.hypotheses], meanings)
    except BadInput:
        return None
    scores = np.array([score for _, score in box.hypotheses]) @ table
    return scores if scores.any() else None
