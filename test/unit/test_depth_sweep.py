# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The depth sweep: more linked blocks cost more, closed gates cost nothing, and the model is restored."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from tiny_model import make_tiny_model

from mmllm_ros.cli import main
from mmllm_ros.datasets.simulated import simulated_examples
from mmllm_ros.datatypes import Question
from mmllm_ros.encoders import load_encoder
from mmllm_ros.evaluation.depth_sweep import measure
from mmllm_ros.metrics.flops import count_flops
from mmllm_ros.model import Model
from mmllm_ros.rig import load_rig

RIG = load_rig("front")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def measured(folder):
    model = Model.load(folder, "cpu")
    for shift, connector in enumerate(model.connectors.values()):
        with torch.no_grad():
            connector.log_gate.copy_(torch.arange(len(connector.log_gate)) - 3.0 + shift / 10)
    before = {name: connector.log_gate.clone() for name, connector in model.connectors.items()}
    encoders = {name: load_encoder(folder / "encoders" / name, RIG) for name in model.modalities}
    known = (Question("are there any cars?", "yes", "exist", 0), Question("how many trucks are there?", "2", "count", 0))
    asked = [replace(moment, questions=known) for moment in simulated_examples(encoders, RIG, "test", 3, 0, each=2)]
    report = measure(model, asked)
    assert all(torch.equal(before[name], connector.log_gate) for name, connector in model.connectors.items())
    return model, report["rows"]


def test_each_linked_block_costs_operations_and_memory_and_none_is_the_bare_llm(measured):
    model, rows = measured
    depths = [row for row in rows if not row["closed_gates"]]
    assert [row["linked_blocks"] for row in depths] == list(range(model.linked_blocks + 1))
    for column in ("frame_flops", "question_flops", "latent_bytes", "weight_bytes"):
        values = [row[column] for row in depths]
        assert values == sorted(values) and len(set(values[1:])) == len(values) - 1, column
    assert depths[0]["frame_flops"] == depths[0]["latent_bytes"] == depths[0]["weight_bytes"] == 0
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in rows)


def test_closed_gates_save_operations_and_memory(measured):
    _, rows = measured
    pruned = [rows[-4], *(row for row in rows if row["closed_gates"])]
    assert len(pruned) == 4
    for column in ("frame_flops", "latent_bytes", "weight_bytes"):
        values = [row[column] for row in pruned]
        assert values == sorted(values, reverse=True) and values[-1] < values[0], column


def test_the_operations_of_a_product_are_counted_with_its_gradients():
    weight = torch.nn.Parameter(torch.zeros(5, 7))
    rows = torch.zeros(3, 5)
    # Two for each of 3 x 5 x 7 multiplications, and as many again for the gradient of the weight.
    assert count_flops(lambda: rows @ weight) == 210
    assert count_flops(lambda: (rows @ weight).sum().backward()) == 420


def test_attention_is_counted():
    query = torch.zeros(1, 2, 4, 8)
    # Scores and their mix of values: 2 heads x 4 x 4 x 8 multiplications each.
    assert count_flops(lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query)) == 2 * 2 * 2 * 4 * 4 * 8


def test_the_command_writes_the_table(folder, tmp_path):
    assert main(["depths", "--scenes", "2", "--model", str(folder), "--json", str(tmp_path / "depths.json")]) == 0
    report = json.loads((tmp_path / "depths.json").read_text())
    assert report["format"] == "mmllm_ros depths 1" and report["rig"] == "front" and report["scenes"] == 2
