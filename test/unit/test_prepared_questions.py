# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions prepared for training into a pretrained LLM, and a few steps of that training on a tiny one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scenes
import torch
from tiny_model import tiny_llm, tiny_tokenizer

from mmllm_ros.latent.connector import Connector
from mmllm_ros.latent.prompt import Prompt
from mmllm_ros.latent.shared_lora import SharedLora
from mmllm_ros.simulator.questions.everyday_kinds import ask_kinds
from mmllm_ros.simulator.questions.scene_graph import SceneGraph
from mmllm_ros.training import prepared_batches, pretrained
from mmllm_ros.training.connectors import TokenTable
from mmllm_ros.training.prepared_questions import Texts, prepare, read_prepared, tokens_of_objects, write_prepared
from mmllm_ros.training.prepared_texts import encode_shard, read_shard

ANSWERS = ["yes", "no", "car", "truck", "bus", "0", "1", "2", "3", "moving", "red", "traffic cone", "traffic light"]
FRAMES = 12


@pytest.fixture(scope="module")
def frames() -> tuple[list, dict[str, TokenTable]]:
    """Scenes, and a token of each modality on each of six objects."""
    rng = np.random.default_rng(3)
    truths, places = [], []
    for _ in range(FRAMES):
        spots = [(rng.uniform(5, 30), rng.uniform(-math.pi, math.pi)) for _ in range(6)]
        kinds = [str(rng.choice(["car", "truck", "bus"])) for _ in spots]
        placed = [(kind, r * math.cos(a), r * math.sin(a)) for kind, (r, a) in zip(kinds, spots, strict=True)]
        objects = [scenes.thing(*place, "moving", "red") for place in placed]
        truths.append(scenes.scene(*objects))
        places.append([(a, 0.0, r) for r, a in spots])
    values = torch.randn((FRAMES, 6, 12), generator=torch.Generator().manual_seed(1)).half()
    table = TokenTable(values, torch.tensor(places).float(), torch.zeros(6, dtype=torch.long))
    return truths, {"camera": table, "lidar": table}


def prepared(frames, texts: Texts, **options) -> list:
    truths, tables = frames
    return prepare(truths, tables, scenes.AROUND, [(0, 1, 2, 3, 4, 5), (0,)], 6, texts, 40, 1, **options)


def test_a_token_shows_the_object_at_its_place(frames):
    truths, tables = frames
    graph = SceneGraph(truths[0], scenes.AROUND)
    shown = tokens_of_objects(graph, {name: table.places[0].numpy() for name, table in tables.items()})
    for index, item in enumerate(graph.objects):
        bearing = math.atan2(item.position[1], item.position[0])
        nearest = int(np.abs(tables["camera"].places[0, :, 0].numpy() - bearing).argmin())
        assert {nearest, 6 + nearest} <= shown[index]


def test_a_shard_brings_only_so_many_new_texts_and_uses_them_again(frames):
    texts = Texts()
    questions = prepared(frames, texts)
    assert len(texts.all) <= 40 < len(questions)
    assert {question.text for question in questions} <= set(range(40))
    assert any("everyday" in question.wording for question in questions)
    assert any("template" in question.wording for question in questions)


def test_the_same_seed_prepares_the_same_questions(frames):
    assert prepared(frames, Texts()) == prepared(frames, Texts())


def test_the_kinds_of_everyday_language_can_be_prepared_too(frames):
    questions = prepared(frames, Texts(), kinds=ask_kinds)
    assert questions
    assert all(question.wording.startswith("everyday") and question.kind != "out of scope" for question in questions)


def test_prepared_questions_are_read_back_as_they_were(frames, tmp_path):
    questions = prepared(frames, Texts())
    write_prepared(tmp_path / "q.jsonl", questions)
    assert read_prepared(tmp_path / "q.jsonl") == questions


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_lowers_the_loss_of_answers_and_of_attention(frames, tmp_path, dtype):
    _, tables = frames
    tokenizer = tiny_tokenizer()
    llm = tiny_llm(len(tokenizer))
    for weight in llm.parameters():
        weight.data = weight.data.to(dtype)
    prompt = Prompt(tokenizer)
    answers = prepared_batches.Answers(ANSWERS, [prompt.answer_ids(answer) for answer in ANSWERS])
    texts = Texts()
    questions = [question for question in prepared(frames, texts) if question.answer in ANSWERS]
    wanted = [(question.text, answers.suffix[question.answer]) for question in questions]
    encode_shard(llm, prompt, 1, 2, dict(enumerate(texts.all)), wanted, tmp_path / "texts.safetensors")
    torch.manual_seed(0)
    connectors = {name: Connector(name, 12, llm, 3, trunk=32, rank=8) for name in tables}
    lora = SharedLora(llm, 3, 4, 2)
    lora.attach_to(llm)
    trained = pretrained.Trained(connectors, lora).requires_grad_(True)
    store = prepared_batches.Store.empty()
    store.ask(store.add(tables), read_shard(tmp_path / "texts.safetensors"), questions, answers)
    rows, attended = prepared_batches.draw(store, {(0,): 1.0}, (6, 4), np.random.default_rng(0))
    stages, losses = pretrained.optimizers(trained, 3e-3, 2e-3), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "SUPERVISED", (0, 2))
        for _ in range(12):
            trained.zero_grad()
            loss, parts, _ = pretrained.step_loss(llm, trained, store, answers, rows, attended)
            loss.backward()
            losses.append((parts["answers"], parts["attention"]))
            for stage in stages:
                stage.step()
    assert losses[-1][0] < 0.9 * losses[0][0]
    assert losses[-1][1] < losses[0][1]
    assert all(value.grad is None for value in llm.parameters())
