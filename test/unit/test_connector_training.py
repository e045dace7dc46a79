# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training the connectors: what is kept and packed changes nothing, only connectors train, resuming is exact."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scenes
import torch
from safetensors.torch import load_file
from teacher_forcing import answer_loss, lay_out
from tiny_decoders import FAMILIES, tiny_decoder

from mmllm_ros.datatypes import BadInput
from mmllm_ros.latent.attention_adapter import attach
from mmllm_ros.latent.connector import Connector
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.latent.split_forward import full_pass, lower_states
from mmllm_ros.model import Model
from mmllm_ros.simulator.questions.programs import parse, presuppositions_hold
from mmllm_ros.simulator.questions.scene_graph import SceneGraph
from mmllm_ros.training import batches, lower_cache, processes
from mmllm_ros.training import connectors as training
from mmllm_ros.training.loop import Schedule, fit
from mmllm_ros.training.lower_cache import LowerCache
from mmllm_ros.training.packing import pack, packed_loss, read_text
from mmllm_ros.training.text import make_llm, make_tokenizer

WIDTHS = {"camera": 6, "imu": 5}
VIEWS = list(range(len(scenes.AROUND.cameras)))
SHAPE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8,
}  # fmt: skip
FRAMES = 6
TRUTHS = [scenes.random_scene(np.random.default_rng(seed)) for seed in range(FRAMES)]


def tiny_model(llm=None, linked: int = 3) -> Model:
    tokenizer = make_tokenizer("{question}")
    torch.manual_seed(0)
    if llm is None:
        llm = make_llm(tokenizer, SHAPE).eval().requires_grad_(False)
    connectors = {modality: Connector(modality, width, llm, linked, trunk=16, rank=4) for modality, width in WIDTHS.items()}
    manifest = Manifest("tiny", prompt="{question}", encoder_revisions=dict.fromkeys(WIDTHS, "x"), answers=["yes", "no"])
    return Model(llm, tokenizer, manifest, connectors)


def token_tables() -> dict[str, training.TokenTable]:
    generator = torch.Generator().manual_seed(1)
    return {
        modality: training.TokenTable(
            torch.randn((FRAMES, len(VIEWS), width), generator=generator).half(),
            torch.randn((FRAMES, len(VIEWS), 3), generator=generator),
            torch.tensor(VIEWS),
        )
        for modality, width in WIDTHS.items()
    }


PAIRS = [([5, 9, 11], [7, 2]), ([4, 8], [2]), ([5, 9, 11, 20, 6], [7, 9, 2]), ([3, 3, 4, 9], [10, 2]), ([8], [4, 2])]
ROWS = [0, 2, 0, 1, 2]
SEEN = {"camera": torch.tensor([True, False, False, True, True]), "imu": torch.tensor([True, False, True, False, True])}


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_questions_with_kept_states_give_the_losses_and_gradients_of_each_question_alone(family):
    llm = tiny_decoder(family)
    attach(llm)
    model, tables = tiny_model(llm), token_tables()
    model.connectors.requires_grad_(True)
    for parameter in model.connectors.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    frames = torch.tensor([4, 1, 3])
    batch = batches.Batch(frames, scenes.AROUND, VIEWS, PAIRS, ROWS, SEEN)
    value, _ = training.answers_loss(model, training.batch_latents(model, tables, batch, 3), batch, LowerCache(llm, 1))
    value.backward()
    packed = {name: parameter.grad.clone() for name, parameter in model.connectors.named_parameters()}
    model.connectors.zero_grad()
    alone = torch.zeros(())
    for index, (pair, row) in enumerate(zip(PAIRS, ROWS, strict=True)):
        frame = frames[row][None]
        latent_caches = {
            modality: model.connectors[modality](table.values[frame].float(), table.places[frame], sources=table.sources)
            for modality, table in tables.items()
            if SEEN[modality][index]
        }
        asked = lay_out([pair], 0)
        alone = (
            alone
            + answer_loss(full_pass(llm, asked.ids, training.merge(latent_caches), positions=asked.places), asked.targets)[0]
        )
    (alone / len(PAIRS)).backward()
    torch.testing.assert_close(value, alone / len(PAIRS), rtol=1e-5, atol=1e-6)
    for name, parameter in model.connectors.named_parameters():
        torch.testing.assert_close(packed[name], parameter.grad, rtol=1e-3, atol=1e-5)


def test_a_question_is_right_when_all_its_tokens_are():
    packed = pack(PAIRS, ROWS, 0, torch.device("cpu"), parts=1)[0]
    logits = torch.nn.functional.one_hot(packed.targets.clamp(min=0), 50).float()
    assert packed_loss(logits, packed)[1] == 5
    last = (packed.targets[0] >= 0).sum() - 1
    logits[0, last] = 0.0
    logits[0, last, 49] = 1.0
    assert packed_loss(logits, packed)[1] == 4


def test_packing_fills_up_less_than_the_longest_question_would():
    rng = np.random.default_rng(0)
    pairs = [(list(range(rng.integers(5, 28))), [1, 2]) for _ in range(256)]
    parts = pack(pairs, [index // 8 for index in range(256)], 0, torch.device("cpu"))
    read = sum(len(read_text(pair)) for pair in pairs)
    assert read / sum(part.ids.numel() for part in parts) > 0.93
    assert read / (256 * max(len(read_text(pair)) for pair in pairs)) < 0.65


def count_lower_passes(monkeypatch) -> list[torch.Tensor]:
    """The token ids of every text whose lower-block states are computed from now on."""
    computed = []
    monkeypatch.setattr(lower_cache, "lower_states", lambda llm, ids, **at: computed.append(ids) or lower_states(llm, ids, **at))
    return computed


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_kept_states_are_the_frozen_blocks_output_bit_for_bit_whatever_came_along(family, monkeypatch):
    llm = tiny_decoder(family)
    attach(llm)
    cache = LowerCache(llm, 2)
    computed = count_lower_passes(monkeypatch)
    texts = [(5, 9, 11), (4, 8), (7, 7, 7), (5, 9, 11), (1, 2, 3, 4)]
    for state, text in zip(cache.states(texts), texts, strict=True):
        assert torch.equal(state, lower_states(llm, torch.tensor([text]), first_block=2)[0])
    assert len(computed) == 4
    again = cache.states([(7, 7, 7)])[0]
    assert torch.equal(again, lower_states(llm, torch.tensor([[7, 7, 7]]), first_block=2)[0]) and len(computed) == 4


def test_texts_known_beforehand_are_computed_together_by_length_as_far_as_they_fit(monkeypatch):
    llm = tiny_decoder("llama")
    attach(llm)
    texts = [(5, 9, 11), (4, 8), (7, 7, 7), (5, 9, 11), (1, 2)]
    cache = LowerCache(llm, 2)
    computed = count_lower_passes(monkeypatch)
    cache.prepare(texts)
    cache.prepare(texts)
    assert [ids.tolist() for ids in computed] == [[[4, 8], [1, 2]], [[5, 9, 11], [7, 7, 7]]]
    for text, state in zip(texts, cache.states(texts), strict=True):
        assert torch.allclose(state, lower_states(llm, torch.tensor([text]), first_block=2)[0], atol=1e-6)
    assert len(computed) == 2
    small = LowerCache(llm, 2, kept_bytes=3 * state.nbytes)
    small.prepare(texts)
    assert len(small.states(texts[1:2])) == 1 and len(computed) == 4


def test_the_cache_stays_within_its_size_and_removes_the_least_recently_read(monkeypatch):
    llm = tiny_decoder("llama")
    attach(llm)
    one = 2 * 32 * 4
    cache = LowerCache(llm, 1, kept_bytes=2 * one)
    computed = count_lower_passes(monkeypatch)
    for text in [(1, 2), (3, 4), (1, 2), (5, 6)]:
        cache.states([text])
    cache.states([(1, 2)])
    assert len(computed) == 3
    cache.states([(3, 4)])
    assert len(computed) == 4


def test_nothing_but_the_connectors_trains():
    model = tiny_model(linked=2)
    heads = [
        f"heads.{head}.{part}"
        for head, part in itertools.product(range(2), ("hidden.0.weight", "hidden.1.weight", "hidden.1.bias"))
    ]
    heads += [
        f"heads.{head}.{kind}.{part}"
        for head, kind, part in itertools.product(range(2), ("key", "value"), ("0.weight", "1.weight", "1.bias"))
    ]
    shared = [
        f"{part}.{kind}" for part in ("normalise", "trunk.0", "trunk.2", "hidden", "token_gate") for kind in ("weight", "bias")
    ]
    expected = {f"{modality}.{name}" for modality in WIDTHS for name in (*heads, *shared, "log_gate")}
    assert training.free_connectors(model) == expected
    model.llm.lm_head.weight.requires_grad_(True)
    with pytest.raises(AssertionError, match="of the LLM would"):
        training.free_connectors(model)


def test_training_cut_off_and_resumed_ends_with_the_same_connectors_bit_for_bit(tmp_path):
    def run(name: str, *stops: int) -> Model:
        for steps in stops:
            model = tiny_model()
            # All of it is warm-up, so the rate of a step does not depend on how many there are.
            schedule = Schedule(steps, 1e-1, checkpoint_every=2)
            training.train_connectors(model, token_tables(), TRUTHS, scenes.AROUND, schedule, (3, 4), tmp_path / name, seed=3)
        return model

    whole, cut = run("whole", 4), run("cut", 2, 4)
    for one, other in zip(whole.connectors.parameters(), cut.connectors.parameters(), strict=True):
        assert torch.equal(one, other)
    fresh = tiny_model()
    assert not all(map(torch.equal, whole.connectors.parameters(), fresh.connectors.parameters()))
    assert all(map(torch.equal, whole.llm.parameters(), fresh.llm.parameters()))


@pytest.mark.slow
def test_two_processes_train_the_model_that_one_does(tmp_path):
    folder = Path(__file__).parent
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": f"{folder.parents[1]}:{folder.parent}", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(folder / "shared_step.py"), str(tmp_path / "two")], check=True, env=environment, timeout=600)
    import shared_step

    shared_step.train(tmp_path / "one")
    one, two = (load_file(tmp_path / name / "connectors.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    fresh = dict(tiny_model().connectors.named_parameters())
    moved = 0
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-3, atol=1e-5)
        kind, _, name = key.partition(".")
        moved += kind == "weight" and not torch.equal(fresh[name], value)
    assert moved > 20


def test_a_step_asks_of_some_frames_what_only_another_one_has():
    full, empty = scenes.scene(scenes.thing("bus", 9.0, 1.0, "moving"), scenes.thing("car", 15.0, -4.0, "parked")), scenes.scene()
    model, about = tiny_model(), {0: [], 1: []}
    batch = batches.draw_batch(model, tuple(WIDTHS), [full, empty], scenes.AROUND, (40, 8), np.random.default_rng(0))
    for (prompt, _), row in zip(batch.pairs, batch.row, strict=True):
        about[int(batch.frames[row])].append(model.tokenizer.decode(prompt))
    of_things = [text for text in about[1] if "the bus" in text or "the parked car" in text]
    assert of_things and all(sum(row == one for one in batch.row) <= 8 + 8 // batches.UNANSWERABLE for row in range(40))
    assert all(len(rows) == len(batch.pairs) for rows in batch.seen.values())


def test_some_steps_hear_some_cameras_only_and_ask_what_a_rig_of_these_shows():
    behind = {"pixels": {"c180": 50}, "clear_pixels": {"c180": 50}, "returns": 0, "clear_returns": 0}
    truths = [scenes.scene(scenes.thing("bus", -9.0, 1.0, "moving", **behind)), scenes.scene(scenes.thing("car", 8.0, 0.0))]
    model, tables, asked_of_bus = tiny_model(), token_tables(), set()
    for seed in range(40):
        batch = batches.draw_batch(model, tuple(WIDTHS), truths, scenes.AROUND, (4, 8), np.random.default_rng(seed))
        latent_caches = training.batch_latents(model, tables, batch, 1)
        assert [latent_caches[name][3].log_gate.shape[1] for name in WIDTHS] == [len(batch.views), len(VIEWS)]
        assert [mount.name for mount in batch.rig.cameras] == [scenes.AROUND.cameras[view].name for view in batch.views]
        texts = [model.tokenizer.decode(prompt) for prompt, _ in batch.pairs]
        if any("the bus" in text for text in texts):
            asked_of_bus.add(tuple(batch.views))
    assert {len(views) for views in asked_of_bus} > {6} and all(3 in views for views in asked_of_bus)


def test_a_question_meets_a_scene_that_has_what_it_singles_out():
    bus, light = scenes.scene(scenes.thing("bus", 9.0, 1.0, "moving")), scenes.scene(light="red")
    for readable, there, elsewhere in (
        ("status(the(pick(any, bus)))", bus, light),
        ("light()", light, bus),
        ("is(light(), red)", light, bus),
        ("exist(pick(any, car, toward(front, the(pick(any, bus)))))", bus, light),
    ):
        assert presuppositions_hold(parse(readable), SceneGraph(there, scenes.AROUND)), readable
        assert not presuppositions_hold(parse(readable), SceneGraph(elsewhere, scenes.AROUND)), readable
    assert presuppositions_hold(parse("count(pick(any, car))"), SceneGraph(light, scenes.AROUND)), "nothing is an answer, too"


def test_processes_that_cannot_divide_a_step_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 3)
    with pytest.raises(BadInput, match="3 processes, but a step has 2 shares"):
        fit("bad", torch.nn.Linear(2, 1), lambda rng: None, Schedule(3, 1e-2, shares=2), tmp_path, seed=0)


def test_a_step_of_two_shares_averages_their_gradients(tmp_path):
    def train(name: str, shares: int, loss) -> torch.Tensor:
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 1)
        fit(name, module, lambda rng: (loss(module, rng), {}), Schedule(2, 1e-2, warmup=1, shares=shares), tmp_path, seed=0)
        return module.weight

    def draw(module, rng):
        return module(torch.from_numpy(rng.normal(size=(4, 3))).float()).square().mean()

    def both(module, rng):
        steps.append(len(steps))
        return (
            draw(module, np.random.default_rng([0, steps[-1], 0])) + draw(module, np.random.default_rng([0, steps[-1], 1]))
        ) / 2

    steps: list[int] = []
    torch.testing.assert_close(train("two", 2, draw), train("one", 1, both), rtol=1e-3, atol=1e-6)
