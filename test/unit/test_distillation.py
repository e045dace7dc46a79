# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Distillation: latents of a token with an object approach those of its statement, gates of other tokens close."""

from __future__ import annotations

import math

import numpy as np
import scenes
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmllm_ros.latent.connector import Connector
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.latent.prompt import Prompt
from mmllm_ros.model import Model
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.questions.question_maker import ANSWERS
from mmllm_ros.simulator.questions.text_description import describe
from mmllm_ros.simulator.truth import EgoMotion
from mmllm_ros.training import text
from mmllm_ros.training.connectors import TokenTable
from mmllm_ros.training.distillation import distillation_loss, nearest_matches, token_targets

RIG = load_rig("nuscenes")
SHAPE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8,
}  # fmt: skip


def places(*polar: tuple[float, float]) -> np.ndarray:
    """Tokens at (bearing [degrees], range [m]); a range of 0 is a pooled token."""
    return np.array([(math.radians(bearing), 0.0, distance) for bearing, distance in polar], dtype=np.float32)


def test_each_object_is_matched_with_the_token_nearest_to_it():
    found = nearest_matches([(10.0, 0.0, 0.0), (0.0, 5.0, 0.0)], places((89, 5.2), (3, 10), (1, 10.5), (0, 0)))
    assert sorted(found) == [(0, 2), (1, 0)]


def test_distant_objects_do_not_match_and_bearings_wrap_at_the_back():
    assert nearest_matches([(10.0, 0.0, 0.0)], places((40, 10), (0, 30))) == []
    assert nearest_matches([(-10.0, -0.1, 0.0)], places((179, 10))) == [(0, 0)]


@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(0.6, 60.0)), max_size=6), st.integers(0, 5))
def test_no_object_and_no_token_is_matched_twice(polar, pooled):
    tokens = places(*polar, *[(0.0, 0.0)] * pooled) if polar or pooled else np.zeros((0, 3), np.float32)
    objects = [(d * math.cos(math.radians(b)), d * math.sin(math.radians(b)), 0.0) for b, d in polar]
    found = nearest_matches(objects, tokens)
    assert len({index for index, _ in found}) == len({token for _, token in found}) == len(found)
    assert all(token < len(polar) for _, token in found)
    assert found or not polar


def test_a_lidar_target_has_no_colour_and_that_of_a_pooled_token_is_whether_the_vehicle_moves():
    truth = scenes.scene(scenes.thing("car", 12.0, 0.0, "moving", "red"), ego=EgoMotion(5.0, 0.0, 0.0))
    tokens = places((0, 12), (90, 7), (0, 0), (60, 0))
    camera, lidar = (token_targets(truth, RIG, modality, tokens) for modality in ("camera", "lidar"))
    # Along 60 degrees, 12 m ahead is 12 cos 60 = 6 m; along 120 and 150 degrees it is behind.
    place = "ahead12 along30x10 along60x6 left0 against120x6 against150x10"
    assert dict(zip(camera.tokens, camera.statements, strict=True)) == {
        0: f"moving red car front 12m {place} camera", 2: "ego moving camera"
    }  # fmt: skip
    assert dict(zip(lidar.tokens, lidar.statements, strict=True)) == {
        0: f"moving car front 12m {place} lidar", 2: "ego moving lidar"
    }  # fmt: skip


def test_ambiguous_motion_is_no_target():
    truth = scenes.scene(ego=EgoMotion(0.5, 0.05, 0.0))
    targets = token_targets(truth, RIG, "imu", places(*[(0, 0)] * 4))
    assert targets.statements == ["ego not braking imu", "ego not accelerating imu"] and targets.unknown == [0, 1]
    assert token_targets(truth, RIG, "lidar", places((0, 9), (0, 0))).unknown == [1]


def test_distillation_trains_latents_and_gates():
    torch.manual_seed(0)
    prompt = Prompt(text.make_tokenizer("{question}"), "{question}")
    llm = text.make_llm(prompt.tokenizer, SHAPE).requires_grad_(False)
    connector = Connector("lidar", 8, llm, linked_blocks=2, trunk=64, rank=16)
    manifest = Manifest("tiny", answers=list(ANSWERS), prompt="{question}")
    model = Model(llm, prompt.tokenizer, manifest, {"lidar": connector})
    truth = scenes.scene(scenes.thing("car", 12.0, 0.0, "moving"), ego=EgoMotion(0.5, 0.0, 0.0))
    spots = places((0, 12), (90, 7), (0, 0))
    tables = {"lidar": TokenTable(torch.randn(1, 3, 8), torch.from_numpy(spots)[None], torch.zeros(3))}
    targets = {"lidar": [token_targets(truth, RIG, "lidar", spots)]}
    model.connectors.requires_grad_(True)
    optimizer = torch.optim.Adam(model.connectors.parameters(), lr=1e-2)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = distillation_loss(model, tables, torch.tensor([0]), targets)
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]
    token_gate = connector.token_gate_logits(tables["lidar"].values, tables["lidar"].places)[0]
    assert token_gate[0] > 0 > token_gate[1]
    assert all(parameter.grad is None for parameter in llm.parameters())


def test_token_targets_are_the_statements_of_the_scene():
    truth = scenes.scene(scenes.thing("bus", -9.0, 4.0, "parked"))
    described = {statement.text for statement in describe(truth, RIG, np.random.default_rng(0)) if statement.sensor == "lidar"}
    targets = token_targets(truth, RIG, "lidar", places((math.degrees(math.atan2(4.0, -9.0)), math.hypot(9.0, 4.0)), (0, 0)))
    assert set(targets.statements) == described
