# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Duplicate suppression: tokens of several sources that show one object weigh as much as one token; no other weight changes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmllm_ros.latent.duplicate_suppression import detections, log_weights

ATTENDED = torch.ones(1, 3, dtype=torch.bool)


def detected(*tokens: tuple[float, float, float, int]) -> torch.Tensor:
    """Tokens as (bearing [degrees], range [m], weight, source)."""
    bearing, distance, weight, source = zip(*tokens, strict=True)
    places = torch.tensor([[math.radians(b), 0.0, d] for b, d in zip(bearing, distance, strict=True)])[None]
    return detections(places, torch.tensor([weight]), torch.tensor(source))


def test_two_sources_that_show_one_object_have_half_its_weight_each_and_another_object_keeps_its_weight():
    weight = log_weights(detected((10, 12, 1.0, 0), (10, 12, 1.0, 1), (80, 12, 1.0, 1)), ATTENDED).exp()
    assert weight[0].tolist() == pytest.approx([0.5, 0.5, 1.0], abs=1e-3)


def test_one_source_that_shows_adjacent_objects_keeps_their_weights():
    assert log_weights(detected((10, 12, 1.0, 0), (11, 12, 1.0, 0), (12, 12, 1.0, 0)), ATTENDED).tolist() == [[0.0, 0.0, 0.0]]


def test_a_token_without_weight_or_range_does_not_suppress_others():
    # The second has no weight, the third no range.
    weight = log_weights(detected((10, 12, 1.0, 0), (10, 12, 0.0, 1), (10, 0, 1.0, 2)), ATTENDED)
    assert weight.tolist() == [[0.0, 0.0, 0.0]]


def test_a_text_that_attends_to_one_source_only_gives_it_the_whole_weight():
    attended = torch.tensor([[[True, True, True], [True, False, False]]])
    weight = log_weights(detected((10, 12, 1.0, 0), (10, 12, 1.0, 1), (10, 12, 1.0, 2)), attended).exp()
    assert weight[0, 0].tolist() == pytest.approx([1 / 3] * 3, abs=1e-3) and weight[0, 1, 0] == 1.0


def test_bearings_are_compared_across_plus_and_minus_180_degrees():
    weight = log_weights(detected((179.9, 9, 1.0, 0), (-179.9, 9, 1.0, 1), (0, 9, 1.0, 2)), ATTENDED).exp()
    assert weight[0].tolist() == pytest.approx([0.5, 0.5, 1.0], abs=1e-2)


TOKEN = st.tuples(st.floats(-180, 180), st.floats(0, 60), st.floats(0, 1), st.integers(0, 2))


@given(st.lists(TOKEN, min_size=1, max_size=8))
def test_a_weight_is_at_most_1_and_at_least_1_over_the_number_of_tokens(tokens):
    weight = log_weights(detected(*tokens), torch.ones(1, len(tokens), dtype=torch.bool)).exp()
    assert ((weight <= 1.0) & (weight >= 1 / len(tokens) - 1e-6)).all()
