# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Detections as tokens: the layout that the modality-agnostic connector reads."""

from __future__ import annotations

import math

import pytest

from mmllm_ros.datatypes import BadInput, Detection
from mmllm_ros.encoders.objects import (
    CATEGORIES,
    LEAST_TOKENS,
    MOST_TOKENS,
    SECTORS,
    TOKEN_WIDTH,
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
