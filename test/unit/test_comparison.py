# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rivals of the comparison: each is what it says, learns with the LLM frozen, and costs what the formula says."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_connector_training import TRUTHS, scenes, tiny_model, token_tables

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmark" / "comparison"))

import cost
import report
from data import World
from rivals import CORRECTIONS, make_rivals

ROWS = (
    "blind",
    "token insertion",
    "gated cross-attention",
    "mPnP as published",
    "ours",
    *(f"ours without {key}" for key in CORRECTIONS),
)
LEARNERS = ROWS[1:]


@pytest.fixture(scope="module")
def world() -> World:
    return World(tiny_model(), scenes.AROUND, token_tables(), TRUTHS, 2)


def rival(world: World, name: str):
    torch.manual_seed(0)
    return make_rivals(world.model.llm, 2, world.widths, {"trunk": 16, "rank": 4})[name]()


def logits(one, world: World, asked) -> torch.Tensor:
    sight = one.see(world.tokens(asked.frames))
    return torch.cat([one.read(packed, sight).flatten(0, 1) for packed in asked.packed])


def test_the_rows_are_those_of_the_table(world):
    assert tuple(make_rivals(world.model.llm, 2, world.widths, {"trunk": 16, "rank": 4})) == ROWS


@pytest.mark.parametrize("name", LEARNERS)
def test_every_rival_learns_and_the_llm_stays_frozen(world, name):
    one = rival(world, name)
    asked = world.draw(np.random.default_rng(0), 3, 2)
    before = cost.loss_of(one, world, asked)[0]
    optimizer = torch.optim.Adam(one.parameters(), lr=1e-2)
    for _ in range(12):
        optimizer.zero_grad()
        cost.loss_of(one, world, asked)[0].backward()
        optimizer.step()
    assert cost.loss_of(one, world, asked)[0] < before - 0.1
    assert not any(weight.requires_grad or weight.grad is not None for weight in world.model.llm.parameters())


def test_gated_cross_attention_begins_as_the_bare_llm_bit_for_bit(world):
    asked = world.draw(np.random.default_rng(1), 3, 2)
    assert torch.equal(*(logits(rival(world, name), world, asked) for name in ("gated cross-attention", "blind")))


@pytest.mark.parametrize("name", ["mPnP as published", "ours without skipping"])
def test_zero_keys_below_are_not_off_they_change_what_the_text_becomes(world, name):
    one = rival(world, name)
    asked = world.draw(np.random.default_rng(1), 3, 2)
    with torch.no_grad():
        sight = one.see(world.tokens(asked.frames))
        below = {block: latent for block, latent in sight.items() if block < one.first}
        assert len(below) == 2 and all((latent.key == 0).all() and (latent.value == 0).all() for latent in below.values())
        changed = one.read(asked.packed[0], below) - rival(world, "blind").read(asked.packed[0], None)
    assert changed.abs().max() > 1e-3


def test_without_places_the_sides_of_the_vehicle_are_the_same(world):
    one, asked = rival(world, "ours without directions"), world.draw(np.random.default_rng(1), 3, 2)
    tokens = world.tokens(asked.frames)
    turned = {name: (values, -places) for name, (values, places) in tokens.items()}
    key = max(one.see(tokens))
    assert torch.equal(one.see(tokens)[key].key, one.see(turned)[key].key)
    ours = rival(world, "ours")
    assert not torch.equal(ours.see(tokens)[key].key, ours.see(turned)[key].key)


def test_without_votes_no_token_gives_up_weight_to_another(world):
    asked = world.draw(np.random.default_rng(1), 3, 2)
    tokens = {name: (values, torch.ones_like(places)) for name, (values, places) in world.tokens(asked.frames).items()}
    shared, alone = (rival(world, name).see(tokens) for name in ("ours", "ours without votes"))
    assert all((alone[block].log_gate > latent.log_gate).all() for block, latent in shared.items())
    same = rival(world, "ours without blocks").see(tokens)
    assert all(torch.equal(same[block].log_gate, latent.log_gate) for block, latent in shared.items()), "these have votes"


def test_a_question_after_the_kept_prefix_is_read_as_with_it(world):
    one, asked = rival(world, "token insertion"), world.draw(np.random.default_rng(2), 1, 1)
    with torch.inference_mode():
        sight = one.see(world.tokens(asked.frames))
        kept = one.keep(sight)
        for _ in range(2):
            torch.testing.assert_close(
                one.read_again(asked.packed[0], kept), one.read(asked.packed[0], sight), rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("name", ROWS)
def test_the_formula_agrees_with_what_torch_counts(world, name):
    one = rival(world, name)
    costs = cost.step_costs(one, world, [world.draw(np.random.default_rng(0), 4, 4)])
    assert costs["step_flops_formula"] == pytest.approx(costs["step_flops"], rel=0.15)


def test_equal_operations_and_equal_accuracy_are_read_off_the_curves():
    costs = dict.fromkeys(report.COSTS, 1.0)
    ours = {"row": "ours", "seed": 0, "accuracy": {"overall": 0.8}, "curve": [(10, 0.6), (20, 0.8)], **costs}
    other = {"row": "token insertion", "seed": 0, "accuracy": {"overall": 0.7}, "curve": [(10, 0.5), (20, 0.7)]}
    other |= {**costs, "step_flops": 4.0, "step_bytes": 2.0}
    row = report.summary([ours, other], 20)[0]
    # Ours has spent 20 when it is done; 5 steps of the other cost as much, and it was never examined so early.
    assert np.isnan(row["gain_at_equal_flops"])
    # On par is 0.69: the other is there after 20 steps of 4, ours after 20 of 1.
    assert row["flops_ratio_on_par"] == 4.0 and row["flops_ratio_a_step"] == 4.0 and row["bytes_saved"] == 0.5


def test_an_interval_over_seeds_is_student_s():
    # Standard deviation 0.1, three seeds: 4.303 * 0.1 / sqrt(3).
    assert report.mean_and_half([0.5, 0.6, 0.7]) == pytest.approx((0.6, 0.2484), abs=1e-4)
