# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Detections as tokens: the layout that the modality-agnostic connector reads, and plain data of vision_msgs before it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmllm_ros.datatypes import BadInput
from mmllm_ros.encoders.detection_messages import Box3D, detections_of
from mmllm_ros.encoders.objects import (
    CATEGORIES,
    LEAST_TOKENS,
    MOST_TOKENS,
    SECTORS,
    TOKEN_WIDTH,
    Detection,
    distribution,
    object_tokens,
)  # fmt: skip
from mmllm_ros.encoders.proposals import CLASSES, STATUSES

CAR = distribution(CATEGORIES, {"car": 1.0})


def test_the_surest_detection_comes_first_and_the_rest_is_empty():
    tokens = object_tokens([Detection(0.4, CAR, 0.1, 0.0, 9.0), Detection(0.9, CAR, -0.2, 0.0, 20.0)], 5)
    assert tokens.values.shape == (LEAST_TOKENS + SECTORS, TOKEN_WIDTH) and tokens.stamp == 5
    assert tokens.values[:2, 1] == pytest.approx([0.9, 0.4]) and (tokens.values[2:LEAST_TOKENS, 1] < 0.01).all()
    assert tokens.places[0] == pytest.approx([-0.2, 0.0, 20.0])
    assert tokens.values[0, 2 + CLASSES.index("car")] == 1.0


def test_what_is_not_known_is_even():
    values = object_tokens([Detection(0.9, CAR, 0.0, 0.0, 9.0)], 0).values[0]
    statuses = values[2 + len(CLASSES) :][: len(STATUSES)]
    assert statuses == pytest.approx([1 / 7] * 7) and values[-6:] == pytest.approx([1 / 6] * 6)


def test_sectors_count_what_is_expected_in_them():
    detections = [Detection(0.9, CAR, 0.05, 0.0, r) for r in (9.0, 20.0)]
    pooled = object_tokens(detections, 0, view=(0.0, math.pi / 4)).values[LEAST_TOKENS:]
    assert pooled[:, 1].sum() == pytest.approx(1.8, abs=0.05)
    assert pooled[:, 2 + CLASSES.index("car")].max() == pytest.approx(1.8, abs=0.05)


def test_an_uncertain_range_is_shared_by_three_tokens_on_the_line_of_sight():
    tokens = object_tokens([Detection(0.8, CAR, 0.3, 0.0, 20.0, spread=0.2)], 0)
    assert tokens.values[:3, 1].sum() == pytest.approx(0.8) and tokens.places[:3, 0] == pytest.approx([0.3] * 3)
    assert sorted(tokens.places[:3, 2]) == pytest.approx([20 * math.exp(step * 0.2) for step in (-1.2, 0, 1.2)])


def test_of_too_many_detections_the_surest_are_kept():
    crowd = [Detection(0.2 + 0.01 * index, CAR, 0.0, 0.0, 9.0) for index in range(MOST_TOKENS + 9)]
    values = object_tokens(crowd, 0).values
    assert len(values) == MOST_TOKENS + SECTORS and values[MOST_TOKENS - 1, 1] == pytest.approx(0.29)


def test_a_name_that_is_no_class_is_refused():
    with pytest.raises(BadInput, match="'tank' is not one of"):
        distribution(CATEGORIES, {"tank": 1.0})


def test_a_message_becomes_detections_in_the_base_frame():
    # The sensor looks left from (1, 0, 2): what lies 10 m ahead of it lies at (1, 10, 2).
    base = np.array([[0, -1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1.0]])
    boxes = [
        Box3D((("Car", 0.7), ("truck", 0.2)), (10.0, 0.0, 0.0), deviation=1.0),
        Box3D((("unicorn", 0.9),), (3.0, 0.0, 0.0)),
        Box3D((("7", 0.5),), (5.0, 0.0, math.nan)),
    ]
    (found,) = detections_of(boxes, base)
    assert found.distance == pytest.approx(math.hypot(1, 10)) and found.bearing == pytest.approx(math.atan2(10, 1))
    assert CATEGORIES[found.classes.argmax()] == "car" and found.score == pytest.approx(0.9)
    assert found.spread == pytest.approx(1 / math.hypot(1, 10))


def test_class_names_are_mapped_by_the_rig():
    (found,) = detections_of([Box3D((("7", 0.5),), (5.0, 0.0, 0.0))], np.eye(4), {"7": {"truck": 1.0}})
    assert CATEGORIES[found.classes.argmax()] == "truck"


def test_a_score_that_is_no_probability_is_refused():
    with pytest.raises(BadInput, match=r"score 1\.5"):
        detections_of([Box3D((("car", 1.5),), (5.0, 0.0, 0.0))], np.eye(4))
