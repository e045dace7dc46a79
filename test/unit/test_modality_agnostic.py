# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The modality-agnostic connector: synthetic sensors are calibrated, it is trained on them, and nothing else changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scenes
import torch
from test_connector_training import SHAPE
from torch import Tensor

from mmllm_ros.datatypes import BadInput
from mmllm_ros.encoders.proposals import ATTRIBUTES, CLASSES, COLOURS, DISTRIBUTIONS, STATUSES
from mmllm_ros.latent.connector import Connector
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.model import Model
from mmllm_ros.training.connectors import TokenTable
from mmllm_ros.training.loop import Schedule
from mmllm_ros.training.modality_agnostic import train_modality_agnostic
from mmllm_ros.training.synthetic_sensors import CELLS, TOKEN_WIDTH, Facts, _predictions, _spread_over_cells, synthetic_tokens
from mmllm_ros.training.text import make_llm, make_tokenizer

TRUTHS = [scenes.random_scene(np.random.default_rng(seed)) for seed in range(6)]


def shares(values: Tensor) -> dict[str, Tensor]:
    sizes = (len(CLASSES), len(STATUSES), len(COLOURS))
    return dict(zip(DISTRIBUTIONS, values[..., -sum(sizes) :].split(sizes, dim=-1), strict=True))


def synthetic(seed: int, truths=TRUTHS) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return synthetic_tokens(Facts.of(truths, scenes.AROUND), np.random.default_rng(seed))


@pytest.fixture
def model() -> Model:
    tokenizer = make_tokenizer("{question}")
    torch.manual_seed(0)
    llm = make_llm(tokenizer, SHAPE).eval().requires_grad_(False)
    widths = {"imu": (5, 0), "camera": (ATTRIBUTES + 3, ATTRIBUTES)}
    connectors = {
        name: Connector(name, width, llm, 2, trunk=16, rank=4, predicted_attributes=read)
        for name, (width, read) in widths.items()
    }
    manifest = Manifest("tiny", prompt="{question}", encoder_revisions=dict.fromkeys(widths, "x"), answers=["yes", "no"])
    return Model(llm, tokenizer, manifest, connectors)


def train(model: Model, folder) -> None:
    views = len(scenes.AROUND.cameras)
    tables = {
        name: TokenTable(torch.randn(6, views, one.shape["token_width"]).half(), torch.randn(6, views, 3), torch.arange(views))
        for name, one in model.connectors.items()
    }
    train_modality_agnostic(model, tables, TRUTHS, scenes.AROUND, Schedule(2, 1e-2, warmup=1), (4, 3), folder, seed=1)


def test_a_synthetic_sensor_is_calibrated():
    torch.manual_seed(0)
    labels = torch.stack([torch.randint(0, size, (400, 60)) for size in (13, 7, 6)], dim=-1)
    read = shares(_predictions(torch.ones(400, 60, dtype=torch.bool), labels))
    for group, label in zip(DISTRIBUTIONS, labels.unbind(-1), strict=True):
        sure, predicted = read[group].max(-1)
        for low, high in ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0)):
            some = (sure > low) & (sure <= high)
            assert (predicted == label)[some].float().mean() == pytest.approx(sure[some].mean().item(), abs=0.04), group


def test_some_synthetic_sensors_do_not_predict_a_group_and_others_predict_it_clearly():
    read = [shares(synthetic(seed)[0]) for seed in range(30)]
    for group in DISTRIBUTIONS:
        clearest = torch.cat([one[group][:, :8].amax((1, 2)) for one in read])
        even = 1 / read[0][group].shape[-1]
        assert 0.05 < (clearest < even + 1e-4).float().mean() < 0.7 and (clearest > 0.99).float().mean() > 0.2


@pytest.mark.parametrize("seed", range(8))
def test_synthetic_tokens_have_the_format_of_encoder_tokens(seed):
    values, places = synthetic(seed)
    assert values.shape == (6, places.shape[1], TOKEN_WIDTH) and (values[..., 0] == 0).all()
    single = places[0, :, 2] > 0
    count = int(single.sum())
    assert single[:count].all() and 12 <= count <= 48 and 4 <= len(single) - count <= 16
    assert (places[..., 0].abs() <= math.pi + 1e-5).all() and (places[:, count:, 1:] == 0).all()
    objectness, read = values[:, :count, 1], shares(values[:, :count])
    assert (objectness.diff(dim=1) <= 0).all() and (objectness >= 0).all() and (objectness <= 1).all()
    for group in DISTRIBUTIONS:
        torch.testing.assert_close(read[group].sum(-1), torch.ones(6, count))
        expected = shares(values[:, count:])[group].sum(-1)
        torch.testing.assert_close(expected, values[:, count:, 1], rtol=1e-4, atol=1e-5)


def test_confident_detections_are_at_objects():
    truth = scenes.scene(scenes.thing("car", 20.0, 5.0, "moving", colour="red"), scenes.thing("barrier", -4.0, -6.0))
    spots = np.array([(20.0, 5.0), (-4.0, -6.0)])
    apart = []
    for seed in range(20):
        values, places = synthetic(seed, [truth] * 8)
        sure = (values[..., 1] > 0.97) & (places[..., 2] > 0)
        bearing, _, distance = places[sure].unbind(-1)
        points = torch.stack([distance * bearing.cos(), distance * bearing.sin()], -1).numpy()
        apart += np.linalg.norm(points[:, None] - spots, axis=-1).min(1).tolist()
    assert len(apart) > 60 and np.median(apart) < 0.8


def test_no_synthetic_sensor_detects_hidden_objects_and_some_detect_lights():
    hidden = scenes.thing("car", 9.0, 0.0, pixels={}, clear_pixels={}, returns=0, clear_returns=0)
    lit = scenes.scene(hidden, light="red")
    facts = Facts.of([lit, scenes.scene()], scenes.AROUND)
    assert facts.there.sum(1).tolist() == [1, 0] and facts.lights[0, 0] and CLASSES[facts.labels[0, 0, 0]] == "red light"
    torch.manual_seed(0)
    values, places = synthetic_tokens(Facts.of([lit] * 2000, scenes.AROUND), np.random.default_rng(0))
    single = places[..., 2] > 0
    red = single * values[..., 1] * (shares(values)["class"][..., CLASSES.index("red light")] > 0.9)
    assert 0.05 < (red.sum(1) > 0.9).float().mean() < 0.35, "in one cell, or in one of some"


def test_an_object_spread_over_several_cells_counts_once():
    torch.manual_seed(0)
    values = torch.rand(30, 9, TOKEN_WIDTH)
    first, rest, *further = _spread_over_cells(values, 5).split([5, 4, *[5] * (CELLS - 1)], dim=1)
    assert torch.equal(rest, values[:, 5:]) and all(torch.equal(cell[..., 2:], first[..., 2:]) for cell in further)
    parts = torch.stack([cell[..., 1] for cell in (first, *further)])
    torch.testing.assert_close(parts.sum(0), values[:, :5, 1])
    most = (parts / parts.sum(0)).amax(0).flatten()
    assert (most > 0.95).float().mean() > 0.2 and (most < 0.6).float().mean() > 0.1, "some sensors localize it, others do not"


def test_it_is_trained_and_the_other_connectors_stay_bit_identical(model, tmp_path):
    before = {key: value.clone() for key, value in model.connectors.state_dict().items()}
    train(model, tmp_path)
    learned = model.modality_agnostic
    assert learned.shape["token_width"] == TOKEN_WIDTH and learned.predicted_attributes == ATTRIBUTES
    assert all(torch.equal(value, before[key]) for key, value in model.connectors.state_dict().items())
    assert not any(value.requires_grad for value in (*learned.parameters(), *model.llm.parameters()))
    assert not torch.equal(learned.trunk[2].weight, model.connectors["camera"].trunk[2].weight)


def test_without_a_connector_with_predicted_attributes_it_is_an_error(model, tmp_path):
    del model.connectors["camera"]
    with pytest.raises(BadInput, match=r"stage modality_agnostic: none of \['imu'\] has predicted attributes"):
        train(model, tmp_path)


def test_an_existing_one_continues_training(model, tmp_path):
    train(model, tmp_path / "first")
    first = {key: value.clone() for key, value in model.modality_agnostic.state_dict().items()}
    with torch.no_grad():
        model.connectors["camera"].hidden.weight.fill_(9.0)
    train(model, tmp_path / "second")
    second = model.modality_agnostic.hidden.weight
    assert not torch.equal(second, first["hidden.weight"]) and (second - first["hidden.weight"]).abs().max() < 1.0
