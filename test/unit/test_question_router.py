# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The router of questions: trained, stored with its LLM, used by the assistant; wordings for training and test are disjoint."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from tiny_model import make_tiny_model

from mmllm_ros.assistant import Assistant
from mmllm_ros.config import LlmConfig
from mmllm_ros.context.question_classifier import SELF, TOPICS, classify_question
from mmllm_ros.datatypes import BadInput
from mmllm_ros.latent.question_router import DESCRIPTION, SENSED, load_router, question_features, save_router
from mmllm_ros.model import Model
from mmllm_ros.resources import config_table
from mmllm_ros.rig import load_rig
from mmllm_ros.training.question_router import examples, fit

TAUGHT = {
    "are there any cars ?": SENSED,
    "are there any trucks ?": SENSED,
    "how many pedestrians are there ?": SENSED,
    "what is there ?": "evidence",
    "what is the status of the bus ?": DESCRIPTION,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A tiny model with a router that has learned TAUGHT."""
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    model = Model.load(folder, "cpu")
    features = torch.stack([question_features(model.llm, model.tokenizer, text) for text in TAUGHT for _ in range(50)])
    save_router(fit(features, [way for way in TAUGHT.values() for _ in range(50)]), folder, model.llm_revision)
    return folder


def test_a_router_finds_the_ways_that_it_has_learned_and_is_part_of_the_revision(folder, tmp_path):
    model = Model.load(folder, "cpu")
    assert {text: model.way(text) for text in TAUGHT} == TAUGHT
    assert model.variant({}, {}).way("what is there ?") == "evidence"
    assert Model.load(make_tiny_model(tmp_path), "cpu").revision != model.revision


def test_without_a_router_the_rules_decide(tmp_path):
    assert Model.load(make_tiny_model(tmp_path), "cpu").way("what is there ?") == ""


def test_the_assistant_goes_the_way_of_the_router(folder):
    model = Model.load(folder, "cpu")
    answer = Assistant(model, LlmConfig(), lambda: 0, rig=load_rig("front")).ask("what is there ?")
    assert (answer.answer, answer.confidence) == ("I have not answered anything yet.", 1.0)


def test_saved_and_linked_models_keep_the_router(folder, tmp_path):
    model = Model.load(folder, "cpu")
    model.save(tmp_path / "whole")
    assert Model.load(tmp_path / "whole", "cpu").way("what is there ?") == "evidence"
    again = Model.load(folder, "cpu")
    again.save(tmp_path / "linked", link=True)
    assert Model.load(tmp_path / "linked", "cpu").way("what is there ?") == "evidence"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"llm_revision": "other"}, "was made for LLM 'other', not for"),
        ({"ways": ["one"]}, "gives ways .*, not a list of 2 to 100 texts"),
        ({"ways": ["a", "b"]}, "router weights .* cannot be used"),
    ],
)
def test_a_router_that_does_not_fit_is_refused_in_one_line(folder, tmp_path, content, complaint):
    model = Model.load(folder, "cpu")
    save_router(model.router, tmp_path, model.llm_revision)
    path = tmp_path / "router" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **content}))
    with pytest.raises(BadInput, match=complaint) as error:
        load_router(tmp_path, model.llm, model.llm_revision)
    assert "\n" not in str(error.value)


def test_a_way_replaces_the_topic_of_the_rules_and_nothing_else():
    assert classify_question("says who", "evidence").topic == "evidence"
    assert classify_question("Does the camera see a bus?").type == SELF
    sensed = classify_question("Does the camera see a bus?", SENSED)
    assert sensed.type != SELF and sensed.topic == ""
    assert classify_question("Is the rear camera dirty?", "sensor state").sensor == "camera"


def test_no_wording_of_the_test_is_trained_on():
    def plain(text: str) -> str:
        return " ".join(re.findall(r"[a-z0-9]+", text.lower()))

    judged = yaml.safe_load((Path(__file__).parents[2] / "benchmark" / "routing_questions.yaml").read_text())
    trained = {plain(text) for texts in config_table("routing.yaml").values() for text in texts}
    assert not trained & {plain(text) for texts in judged.values() for text in texts}


def test_examples_have_every_way():
    found = examples(40, 0)
    assert {way for _, way in found} == {*TOPICS, DESCRIPTION, SENSED}
    assert len({text for text, _ in found}) > 2800
