# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""models/drive_smollm2 on its real base LLM. Skipped only where `mmllm fetch` has not installed that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmllm_ros.datasets.examples import Example
from mmllm_ros.datasets.simulated import simulated_examples
from mmllm_ros.encoders import load_encoder
from mmllm_ros.latent.attention_adapter import plugged
from mmllm_ros.latent.checkpoint import load_llm
from mmllm_ros.latent.generation import continue_text
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.model import Model
from mmllm_ros.resources import PRETRAINED_BASE, base_folder, is_fetched
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.questions.everyday import CANNOT_TELL

FOLDER = Path(__file__).parents[2] / "models" / "drive_smollm2"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_fetched(PRETRAINED_BASE), reason="the base LLM is not in the cache: `mmllm fetch`"),
]
QUESTIONS = ("Is there a car ahead of me?", "how many people can you see", "What colour is the traffic light?")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(FOLDER, "cpu")


@pytest.fixture(scope="module")
def moments() -> list[Example]:
    rig = load_rig("front")
    encoders = {name: load_encoder(FOLDER / "encoders" / name, rig, "cpu") for name in ("camera", "lidar", "imu")}
    return simulated_examples(encoders, rig, "test", 6, 0, each=6, language="everyday")


def test_with_nothing_connected_it_is_the_bare_llm_bit_for_bit(model):
    bare, tokenizer, revision = load_llm(base_folder(PRETRAINED_BASE), torch.device("cpu"))
    assert revision == Manifest.read(FOLDER).llm_revision
    for question in QUESTIONS:
        ids = torch.tensor([tokenizer(question)["input_ids"]])
        with torch.inference_mode(), plugged({}):
            assert torch.equal(model.llm(ids).logits, bare(ids).logits)
    ids = model.prompt.question_ids("What is the capital of France?")
    assert "Paris" in continue_text(model.llm, model.tokenizer, ids, {}, limit=10)[0]


def test_disconnecting_a_modality_gives_back_the_answers_of_before_bit_for_bit(model, moments):
    camera = [tokens for tokens in moments[0].tokens if tokens.modality == "camera"]
    before = [model.score(question, model.latents(camera)) for question in QUESTIONS]
    for question in QUESTIONS:
        model.score(question, model.latents(moments[0].tokens))
    assert [model.score(question, model.latents(camera)) for question in QUESTIONS] == before


def test_a_text_that_was_asked_before_is_answered_as_a_new_one(model, moments):
    latent_cache = model.latents(moments[0].tokens)
    first = [model.score(question, latent_cache) for question in QUESTIONS]
    assert [model.score(question, latent_cache) for question in QUESTIONS] == first
    model.clear_text_cache()
    assert [model.score(question, latent_cache) for question in QUESTIONS] == first


def test_it_answers_more_than_a_guess_and_refuses_what_no_sensor_tells(model, moments):
    known, refused = [], []
    for moment in moments:
        latent_cache = model.latents(moment.tokens)
        for question in moment.questions:
            answer = model.score(question.question, latent_cache).answer
            (refused if question.needs == ((),) else known).append(answer == question.answer)
            if question.needs == ((),):
                assert question.answer == CANNOT_TELL
    assert np.mean(known) > 0.45
    assert np.mean(refused) >= 0.6


def test_its_folder_is_small_and_shares_the_encoders_of_drive_tiny():
    own = [path for path in FOLDER.rglob("*") if path.is_file() and not any(part.is_symlink() for part in path.parents)]
    assert sum(path.stat().st_size for path in own) < 40e6
    tiny = Manifest.read(FOLDER.parent / "drive_tiny")
    assert Manifest.read(FOLDER).encoder_revisions == tiny.encoder_revisions
