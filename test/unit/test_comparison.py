# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The fusion methods of the comparison: structure, training with a frozen LLM, and cost by formula."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_connector_training import TRUTHS, scenes, tiny_model, token_tables

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmark" / "comparison"))

import cost
import report
from data import ComparisonData
from methods import ABLATIONS, make_methods

from mmllm_ros.encoders.proposals import ATTRIBUTES

ROWS = (
    "blind",
    "token insertion",
    "gated cross-attention",
    "mPnP as published",
    "ours",
    *(f"ours without {key}" for key in ABLATIONS),
    "attributes as text",
    "blind, with LoRA",
    "ours, with LoRA",
    "attributes as text, with LoRA",
)
TRAINED = [row for row in ROWS if row not in ("blind", "attributes as text")]


@pytest.fixture(scope="module")
def data() -> ComparisonData:
    tables = token_tables()
    # The row of attributes as text reads the last numbers of a camera's token.
    attributes = torch.rand((*tables["camera"].values.shape[:2], ATTRIBUTES), generator=torch.Generator().manual_seed(2))
    tables["camera"] = replace(tables["camera"], values=attributes.half())
    return ComparisonData(tiny_model(), scenes.AROUND, tables, TRUTHS, 2)


def method(data: ComparisonData, name: str):
    torch.manual_seed(0)
    return methods_of(data)[name]()


def methods_of(data: ComparisonData) -> dict:
    ranks = {"rank": 2, "output_rank": 1}
    return make_methods(data.model.llm, data.model.tokenizer, 2, data.widths, {"trunk": 16, "rank": 4}, ranks)


def logits(one, data: ComparisonData, asked) -> torch.Tensor:
    features = one.encode(data.tokens(asked.frames))
    return torch.cat([one.logits(packed, features).flatten(0, 1) for packed in asked.packed])


def test_the_rows_are_those_of_the_table(data):
    assert tuple(methods_of(data)) == ROWS


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_learns_and_the_llm_stays_frozen(data, name):
    one = method(data, name)
    asked = data.draw(np.random.default_rng(0), 3, 2)
    before = cost.loss_of(one, data, asked)[0]
    optimizer = torch.optim.Adam(one.parameters(), lr=1e-2)
    for _ in range(12):
        optimizer.zero_grad()
        cost.loss_of(one, data, asked)[0].backward()
        optimizer.step()
    assert cost.loss_of(one, data, asked)[0] < before - 0.1
    assert not any(weight.requires_grad or weight.grad is not None for weight in data.model.llm.parameters())


def test_gated_cross_attention_begins_as_the_bare_llm_bit_for_bit(data):
    asked = data.draw(np.random.default_rng(1), 3, 2)
    assert torch.equal(*(logits(method(data, name), data, asked) for name in ("gated cross-attention", "blind")))


@pytest.mark.parametrize("name", ["mPnP as published", "ours without skipping"])
def test_zero_keys_in_lower_blocks_change_the_logits(data, name):
    one = method(data, name)
    asked = data.draw(np.random.default_rng(1), 3, 2)
    with torch.no_grad():
        features = one.encode(data.tokens(asked.frames))
        below = {block: latent for block, latent in features.items() if block < one.first}
        assert len(below) == 2 and all((latent.key == 0).all() and (latent.value == 0).all() for latent in below.values())
        changed = one.logits(asked.packed[0], below) - method(data, "blind").logits(asked.packed[0], None)
    assert changed.abs().max() > 1e-3


def test_without_positions_the_sides_of_the_vehicle_are_the_same(data):
    one, asked = method(data, "ours without directions"), data.draw(np.random.default_rng(1), 3, 2)
    tokens = data.tokens(asked.frames)
    turned = {name: (values, -places) for name, (values, places) in tokens.items()}
    key = max(one.encode(tokens))
    assert torch.equal(one.encode(tokens)[key].key, one.encode(turned)[key].key)
    ours = method(data, "ours")
    assert not torch.equal(ours.encode(tokens)[key].key, ours.encode(turned)[key].key)


def test_without_duplicate_suppression_tokens_keep_their_weight(data):
    asked = data.draw(np.random.default_rng(1), 3, 2)
    tokens = {name: (values, torch.ones_like(places)) for name, (values, places) in data.tokens(asked.frames).items()}
    shared, alone = (method(data, name).encode(tokens) for name in ("ours", "ours without duplicate suppression"))
    assert all((alone[block].log_gate > latent.log_gate).all() for block, latent in shared.items())
    same = method(data, "ours without blocks").encode(tokens)
    assert all(torch.equal(same[block].log_gate, latent.log_gate) for block, latent in shared.items()), "duplicates suppressed"


def test_a_question_after_the_cached_prefix_has_the_same_logits(data):
    one, asked = method(data, "token insertion"), data.draw(np.random.default_rng(2), 1, 1)
    with torch.inference_mode():
        features = one.encode(data.tokens(asked.frames))
        cached = one.cache(features)
        for _ in range(2):
            torch.testing.assert_close(
                one.logits_from_cache(asked.packed[0], cached), one.logits(asked.packed[0], features), rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("name", ROWS)
def test_the_formula_agrees_with_what_torch_counts(data, name):
    one = method(data, name)
    costs = cost.step_costs(one, data, [data.draw(np.random.default_rng(0), 4, 4)])
    assert costs["step_flops_formula"] == pytest.approx(costs["step_flops"], rel=0.15)


def test_equal_flops_and_equal_accuracy_come_from_the_curves():
    costs = dict.fromkeys(report.COSTS, 1.0)
    costs |= {"steps": 20.0, "interval": (0.0, 1.0)}
    ours = {"row": "ours", "seed": 0, "accuracy": {"overall": 0.8}, "curve": [(10, 0.6), (20, 0.8)], **costs}
    other = {"row": "token insertion", "seed": 0, "accuracy": {"overall": 0.7}, "curve": [(10, 0.5), (20, 0.7)]}
    other |= {**costs, "step_flops": 4.0, "step_bytes": 2.0}
    row = report.summary([ours, other])[0]
    # Ours has spent 20 when it is done; 5 steps of the other cost as much, and it was never validated so early.
    assert np.isnan(row["gain_at_equal_flops"])
    # On par is 0.69: the other is there after 20 steps of 4, ours after 20 of 1.
    assert row["flops_ratio_on_par"] == 4.0 and row["flops_ratio_a_step"] == 4.0 and row["bytes_saved"] == 0.5


def test_an_interval_over_seeds_is_student_s():
    # Standard deviation 0.1, three seeds: 4.303 * 0.1 / sqrt(3).
    assert report.mean_and_half([0.5, 0.6, 0.7]) == pytest.approx((0.6, 0.2484), abs=1e-4)
