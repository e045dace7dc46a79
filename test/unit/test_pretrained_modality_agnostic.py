# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Detections with the errors of real detectors, and the connector into a pretrained LLM that learns to read them."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import scenes
import torch
from tiny_model import tiny_llm
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mmllm_ros.datatypes import BadInput
from mmllm_ros.encoders.objects import CATEGORIES
from mmllm_ros.encoders.proposals import ATTRIBUTES, STATUSES
from mmllm_ros.latent import checkpoint
from mmllm_ros.latent.connector import Connector
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.model import Model
from mmllm_ros.simulator.questions.question_maker import EVERYDAY_ANSWERS
from mmllm_ros.simulator.truth import VEHICLES
from mmllm_ros.training import pretrained_modality_agnostic as training
from mmllm_ros.training import simulated_detections
from mmllm_ros.training.prepared_questions import Texts

ALL_AROUND = (0.0, math.pi)


def crowded(seed: int):
    return simulated_detections.crowded_scene(np.random.default_rng(seed), scenes.AROUND)


def test_scores_and_classes_of_drawn_detections_are_calibrated(monkeypatch):
    monkeypatch.setattr(simulated_detections, "LABELLED", 0.0)
    monkeypatch.setattr(simulated_detections, "TURN", 0.0)
    scores, there, sure, right = [], [], [], []
    for seed in range(150):
        truth = crowded(seed)
        for item in simulated_detections.drawn_detections(truth, ALL_AROUND, np.random.default_rng(seed)):
            known = [other for other in truth.objects if abs(math.atan2(*other.position[1::-1]) - item.bearing) < 1e-9]
            scores.append(item.score)
            there.append(bool(known))
            if known:
                sure.append(item.classes.max())
                right.append(CATEGORIES[int(item.classes.argmax())] == known[0].category)
    for values, true in ((scores, there), (sure, right)):
        values, true = np.array(values), np.array(true)
        for low, high in ((0.4, 0.7), (0.7, 0.9), (0.9, 1.0)):
            some = (values > low) & (values <= high)
            assert true[some].mean() == pytest.approx(values[some].mean(), abs=0.07)


def test_a_crowded_scene_has_rows_and_groups_and_ends_at_the_farthest_range():
    truths = [crowded(seed) for seed in range(40)]
    assert max(len(truth.objects) for truth in truths) > 20 and all(truth.traffic_light is None for truth in truths)
    ranges = [math.hypot(*item.position[:2]) for truth in truths for item in truth.objects]
    assert max(ranges) <= simulated_detections.FARTHEST and np.mean(np.array(ranges) > 35.0) > 0.05


def test_labels_tell_the_status_of_all_objects_or_of_none():
    objects = [item for item in crowded(3).objects if item.category in VEHICLES]
    told = [simulated_detections.labelled_detections(objects, np.random.default_rng(seed)) for seed in range(20)]
    assert {sum(item.statuses is not None for item in some) for some in told} == {0, len(objects)}
    known = next(some for some in told if some[0].statuses is not None)
    assert [STATUSES[int(item.statuses.argmax())] for item in known] == [item.status for item in objects]


def test_a_cropped_scene_has_what_the_view_shows():
    truth = crowded(1)
    half = simulated_detections.cropped(truth, (math.pi / 2, math.pi / 2))
    assert {item.position for item in half.objects} == {item.position for item in truth.objects if item.position[1] >= 0}


@pytest.fixture
def model() -> Model:
    words = sorted({word for answer in EVERYDAY_ANSWERS for word in re.findall(r"\w+|[^\w\s]", answer)})
    vocabulary = ["<pad>", "<unk>", "</s>", *words]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    llm = tiny_llm(len(vocabulary))
    torch.manual_seed(1)
    lidar = Connector("lidar", ATTRIBUTES + 3, llm, 2, trunk=32, rank=4, predicted_attributes=ATTRIBUTES)
    manifest = Manifest("tiny", encoder_revisions={"lidar": "r"}, answers=list(EVERYDAY_ANSWERS), attend_last=2)
    return Model(llm, PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special), manifest, {"lidar": lidar})


def test_a_connector_is_trained_beside_the_others_and_kept_in_the_model_folder(model, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SUPERVISED", (0, 1))
    texts = Texts()
    found = training.scenes(1, 14, texts, 300, seed=0)
    answers = training.Answers(model.answers, [model.prompt.answer_ids(answer) for answer in model.answers])
    before = {name: value.clone() for name, value in model.connectors.named_parameters()}
    kept = training.encode_all(model, found, texts, answers, tmp_path / "texts.safetensors")
    training.train_connector(model, found, kept, 0.03, tmp_path, seed=0)
    assert all(torch.equal(before[name], value) for name, value in model.connectors.named_parameters())
    made = model.modality_agnostic
    assert made.shape == {**model.connectors["lidar"].shape, "token_width": ATTRIBUTES + 1}
    checkpoint.save_modality_agnostic(made, tmp_path, model.llm_revision)
    loaded = checkpoint.load_modality_agnostic(tmp_path, model.llm, model.llm_revision)
    assert torch.allclose(loaded.trunk[0].weight, made.trunk[0].weight, atol=1e-3)
    assert not torch.equal(made.heads[0].key[0].weight, model.connectors["lidar"].heads[0].key[0].weight)


def test_the_tokens_of_an_object_are_looked_at_where_a_question_refers_to_it():
    found = training.scenes(0, 6, Texts(), 300, seed=1)
    scene = max(found, key=lambda one: len(one.truth.objects))
    values, places, valid = training.tokens_of_scenes([scene], np.random.default_rng(1))
    assert values.shape[:2] == places.shape[:2] == valid.shape
    wanted = training.looked_at(scene.questions, scene, places[0])
    for question, rows in zip(scene.questions, wanted, strict=True):
        for numbers, row in zip(question.looks, rows, strict=True):
            assert not row.any() or numbers
            for token in row.nonzero()[:, 0].tolist():
                bearing = float(places[0, token, 0])
                true = [math.atan2(*scene.truth.objects[number].position[1::-1]) for number in numbers]
                assert min(abs(math.remainder(bearing - other, math.tau)) for other in true) < math.radians(7.0)
    assert wanted.any()


def test_a_model_without_a_connector_to_start_from_is_refused(model, tmp_path):
    del model.connectors["lidar"]
    with pytest.raises(BadInput, match="no connector of a lidar"):
        training.train_connector(model, [], {}, 0.01, tmp_path, 0)
