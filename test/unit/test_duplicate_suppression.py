# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Votes: what several sources show of one thing weighs as much as what one shows, and nothing else changes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmllm_ros.latent.duplicate_suppression import claims, log_share

HEARD = torch.ones(1, 3, dtype=torch.bool)


def claimed(*tokens: tuple[float, float, float, int]) -> torch.Tensor:
    """Tokens as (bearing [degrees], range [m], weight, source)."""
    bearing, distance, weight, source = zip(*tokens, strict=True)
    places = torch.tensor([[math.radians(b), 0.0, d] for b, d in zip(bearing, distance, strict=True)])[None]
    return claims(places, torch.tensor([weight]), torch.tensor(source))


def test_two_sources_that_show_one_thing_have_half_a_vote_each_and_a_third_thing_has_its_own():
    share = log_share(claimed((10, 12, 1.0, 0), (10, 12, 1.0, 1), (80, 12, 1.0, 1)), HEARD).exp()
    assert share[0].tolist() == pytest.approx([0.5, 0.5, 1.0], abs=1e-3)


def test_one_source_that_shows_two_things_beside_each_other_keeps_both_votes():
    assert log_share(claimed((10, 12, 1.0, 0), (11, 12, 1.0, 0), (12, 12, 1.0, 0)), HEARD).tolist() == [[0.0, 0.0, 0.0]]


def test_a_token_that_has_nothing_to_say_takes_nothing_from_the_others():
    # The second has no weight, the third no range: neither claims anything, and neither shares.
    share = log_share(claimed((10, 12, 1.0, 0), (10, 12, 0.0, 1), (10, 0, 1.0, 2)), HEARD)
    assert share.tolist() == [[0.0, 0.0, 0.0]]


def test_a_text_that_does_not_hear_the_other_source_gives_the_whole_vote():
    heard = torch.tensor([[[True, True, True], [True, False, False]]])
    share = log_share(claimed((10, 12, 1.0, 0), (10, 12, 1.0, 1), (10, 12, 1.0, 2)), heard).exp()
    assert share[0, 0].tolist() == pytest.approx([1 / 3] * 3, abs=1e-3) and share[0, 1, 0] == 1.0


def test_things_are_compared_across_the_back():
    share = log_share(claimed((179.9, 9, 1.0, 0), (-179.9, 9, 1.0, 1), (0, 9, 1.0, 2)), HEARD).exp()
    assert share[0].tolist() == pytest.approx([0.5, 0.5, 1.0], abs=1e-2)


TOKEN = st.tuples(st.floats(-180, 180), st.floats(0, 60), st.floats(0, 1), st.integers(0, 2))


@given(st.lists(TOKEN, min_size=1, max_size=8))
def test_a_share_is_never_more_than_a_vote_nor_less_than_that_of_one_among_all(tokens):
    share = log_share(claimed(*tokens), torch.ones(1, len(tokens), dtype=torch.bool)).exp()
    assert ((share <= 1.0) & (share >= 1 / len(tokens) - 1e-6)).all()
