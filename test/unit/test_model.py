# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model: exact scores, answers to unknown words, and one error line for an invalid model folder."""

from __future__ import annotations

import json
import math
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_decoders import SIZES
from tiny_model import ANSWERS, make_tiny_model, tiny_llm, tiny_tokenizer
from transformers import AutoModelForCausalLM, OPTConfig, OPTForCausalLM

from mmllm_ros.datatypes import BadInput, Tokens
from mmllm_ros.latent.answer_trie import AnswerTrie
from mmllm_ros.latent.attention_adapter import attending_at, plugged
from mmllm_ros.latent.checkpoint import model_revision
from mmllm_ros.latent.connector import Connector, merge
from mmllm_ros.latent.generation import Cancelled, continue_text
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.model import KEPT_TEXTS, Model
from mmllm_ros.resources import MODALITY_AGNOSTIC, ROUTER

QUESTION = "are there any cars ?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder) -> Model:
    return Model.load(folder, "cpu")


def readings(model: Model, modality: str, source: str = "front", seed: int = 0, count: int = 6) -> Tokens:
    generator = np.random.default_rng(seed)
    width = model.connectors[modality].shape["token_width"]
    values = generator.normal(size=(count, width)).astype(np.float32)
    places = generator.normal(size=(count, 3)).astype(np.float32)
    return Tokens(modality, source, 1, values, places, model.encoder_revisions[modality])


def everything(model: Model) -> list[Tokens]:
    return [readings(model, modality) for modality in model.modalities]


def slow_distribution(model: Model, question: str, latent_cache) -> dict[str, float]:
    """The distribution computed answer by answer with full forward passes, by softmax over the tokens that lead to an answer."""
    prompt = model.prompt.question_ids(question)
    sequences = {answer: model.prompt.answer_ids(answer) for answer in model.answers}
    scores = {}
    for answer, sequence in sequences.items():
        total = 0.0
        for i, token in enumerate(sequence):
            allowed = sorted({other[i] for other in sequences.values() if other[:i] == sequence[:i]})
            with plugged(latent_cache), torch.no_grad():
                logits = model.llm(torch.tensor([prompt + sequence[:i]]), use_cache=False).logits[0, -1]
            total += float(logits[allowed].log_softmax(-1)[allowed.index(token)])
        scores[answer] = total / model.temperature
    normal = math.log(sum(math.exp(score) for score in scores.values()))
    return {answer: math.exp(score - normal) for answer, score in scores.items()}


@pytest.mark.parametrize("plug", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_one_pass_gives_the_scores_of_separate_passes(model, monkeypatch, plug, temperature):
    monkeypatch.setattr(model, "temperature", temperature)
    latent_cache = model.latents(everything(model)) if plug else {}
    scored = model.score(QUESTION, latent_cache)
    expected = slow_distribution(model, QUESTION, latent_cache)
    assert scored.distribution == pytest.approx(expected, rel=1e-4)
    assert scored.answer == max(expected, key=expected.get)
    assert scored.confidence == pytest.approx(max(expected.values()), rel=1e-4)
    assert sum(scored.distribution.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("attend_last", [0, 3])
def test_questions_that_attend_to_different_sensors_have_the_scores_of_separate_passes_in_one(model, monkeypatch, attend_last):
    monkeypatch.setattr(model, "attend_last", attend_last)
    questions = [QUESTION, "am i moving ?", "xylophone ?", "how many trucks are there ?", "are there any buses ?"]
    latent_caches = model.latent_caches(everything(model))
    used = [("camera", "lidar"), ("imu",), ("imu",), (), ("lidar",)]
    rows = {name: torch.tensor([name in names for names in used]) for name in latent_caches}
    together = merge({name: attending_at(latent_caches[name], rows[name]) for name in latent_caches})
    alone = [model.score(q, merge({n: latent_caches[n] for n in names})) for q, names in zip(questions, used, strict=True)]
    for one, packed in zip(alone, model.score_all(questions, together), strict=True):
        assert packed.answer == one.answer
        assert packed.confidence == pytest.approx(one.confidence, rel=1e-4)
        assert packed.distribution == pytest.approx(one.distribution, abs=1e-3 if attend_last else 1e-5)
    assert len({scored.confidence for scored in alone}) == len(questions)


def test_a_family_that_cannot_be_split_has_the_same_scores(tmp_path):
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    sizes = {**SIZES, "vocab_size": len(tokenizer)}
    OPTForCausalLM(OPTConfig(**sizes, ffn_dim=64, init_std=0.2, word_embed_proj_dim=32, eos_token_id=2)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    bare = Model.load(tmp_path, "cpu")
    assert bare.modalities == () and bare.linked_blocks == 0
    model = Model(bare.llm, bare.tokenizer, Manifest(name="opt", answers=ANSWERS))
    model = model.variant({"lidar": Connector("lidar", 5, model.llm, 2)}, {"lidar": "abc"})
    latent_cache = model.latents([readings(model, "lidar")])
    assert model.score(QUESTION, latent_cache).distribution == pytest.approx(
        slow_distribution(model, QUESTION, latent_cache), rel=1e-3
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=8, unique_by=tuple))
def test_any_answer_tree_is_packed_exactly(sequences):
    # A made-up LLM: the logits of a node are a fixed random function of its path, so paths must not be confused.
    sequences = [[*sequence, 0] for sequence in sequences]
    trie = AnswerTrie(sequences, [str(sequence) for sequence in sequences])

    def made_up(path: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(5, generator=torch.Generator().manual_seed(hash(path) % 2**31))

    prompt = 3
    ids = [9, 9, 9, *trie.tokens]
    mask = trie.mask(prompt)
    mask = torch.ones((len(ids),) * 2, dtype=torch.bool).tril() if mask is None else mask[0, 0]
    paths = [tuple(ids[j] for j in range(prompt, i + 1) if mask[i, j]) for i in trie.positions(prompt).tolist()]
    assert mask[:, :prompt][prompt - 1 :].all()
    assert trie.position_ids(prompt)[0].tolist() == [0, 1, *(prompt - 1 + len(path) for path in paths)]
    scores = trie.score(torch.stack([made_up(path) for path in paths]))
    for sequence, score in zip(sequences, scores.tolist(), strict=True):
        expected = 0.0
        for i, token in enumerate(sequence):
            allowed = sorted({other[i] for other in sequences if other[:i] == sequence[:i]})
            expected += float(made_up(tuple(sequence[:i]))[allowed].log_softmax(-1)[allowed.index(token)])
        assert score == pytest.approx(expected, abs=1e-5)
    assert scores.exp().sum().item() == pytest.approx(1.0, abs=1e-5)


def test_single_token_answers_cost_no_token_beyond_the_prompt(model):
    words = ["yes", "no", "car"]
    assert AnswerTrie([model.prompt.answer_ids(word) for word in words], words).tokens == []
    # "traffic cone" and "traffic light" part after their first word, "not moving" parts from nothing.
    assert model.tokenizer.convert_ids_to_tokens(model._trie.tokens) == ["traffic"]


def test_nothing_plugged_scores_as_the_bare_llm_bit_for_bit(model, folder):
    bare = AutoModelForCausalLM.from_pretrained(folder / "llm", dtype=torch.float32).eval()
    ids = [*model.prompt.question_ids(QUESTION), *model._trie.tokens]
    with torch.no_grad():
        expected = bare(torch.tensor([ids]), use_cache=False, logits_to_keep=2).logits[0]
    assert torch.equal(model._logits(ids, len(model._trie.tokens), {}), expected)


def test_a_repeated_question_reuses_its_lower_block_states_and_has_the_same_answer(model, monkeypatch):
    latent_cache = model.latents(everything(model))
    first = model.score("how many cars are there ?", latent_cache)
    monkeypatch.setattr("mmllm_ros.model.lower_states", lambda *_, **__: pytest.fail("computed twice"))
    assert model.score("how many cars are there ?", latent_cache) == first


def test_the_number_of_cached_texts_is_bounded(folder):
    model = Model.load(folder, "cpu")
    words = sorted(set(model.tokenizer.get_vocab()) - {"<unk>", "</s>", "<pad>"})[: KEPT_TEXTS // 32]
    for first in words:
        for second in words * 5:
            model.score(f"{first} {second}", {})
            assert len(model._lower) <= KEPT_TEXTS


def test_the_order_of_readings_does_not_change_an_answer(model):
    tokens = [*everything(model), readings(model, "camera", "back", seed=3)]
    assert model.score(QUESTION, model.latents(tokens)) == model.score(QUESTION, model.latents(tokens[::-1]))


def test_linked_blocks_is_a_run_time_setting(model):
    tokens = everything(model)
    answers = [model.score(QUESTION, model.latents(tokens, n)).distribution for n in (1, 2, 3)]
    assert answers[0] != answers[1] != answers[2]
    assert answers[2] == model.score(QUESTION, model.latents(tokens)).distribution
    with pytest.raises(BadInput, match="linked_blocks is 4, not between 1 and 3"):
        model.latents(tokens, 4)


def test_adding_a_modality_leaves_old_answers_bit_identical(folder):
    model = Model.load(folder, "cpu")
    tokens = everything(model)
    before = [model.score(QUESTION, model.latents(tokens)), model.score(QUESTION, {})]
    variant = model.variant({"radar": Connector("radar", 5, model.llm, 4)}, {"radar": "radar one"})
    assert [variant.score(QUESTION, variant.latents(tokens)), variant.score(QUESTION, {})] == before
    assert variant.linked_blocks == 4 and variant.revision == "unsaved"
    assert variant.score(QUESTION, variant.latents([*tokens, readings(variant, "radar")])) != before[0]


def test_an_unknown_modality_is_refused(model):
    stranger = Tokens("radar", "front", 1, np.zeros((1, 4), np.float32), np.zeros((1, 3), np.float32), "x")
    with pytest.raises(BadInput, match=r"modality 'radar' is unknown to model tiny, which takes \['camera', 'imu', 'lidar'\]"):
        model.latents([stranger])


@pytest.mark.parametrize("method", ["score", "answer", "free text"])
def test_the_answer_to_a_question_with_an_unknown_word_names_the_word(model, folder, method):
    model, method = (Model.load(folder / "llm", "cpu"), "answer") if method == "free text" else (model, method)
    scored = getattr(model, method)("is there a Xylophone?", {})
    assert scored.answer == "this question is outside what I know (unknown word: 'Xylophone')"
    assert scored.confidence == 0.0


def test_several_unknown_words_are_all_named(model):
    answer = model.score("are there zebras, or zeppelins?", {}).answer
    assert answer == "this question is outside what I know (unknown words: 'zebras', 'or', 'zeppelins')"


def test_a_question_longer_than_the_context_of_the_llm_is_refused(model):
    with pytest.raises(BadInput, match="the question is 3004 tokens long, model tiny takes at most 2048 with the answer"):
        model.score("car " * 3000, {})


def test_free_text_is_what_the_library_generates(model):
    latent_cache = model.latents(everything(model))
    ids = torch.tensor([model.prompt.question_ids(QUESTION)])
    with plugged(latent_cache):
        whole = model.llm.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=9)
    pieces = []
    text, _ = continue_text(model.llm, model.tokenizer, ids[0].tolist(), latent_cache, 9, pieces.append)
    assert text == model.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True)
    assert len(pieces) > 1 and "".join(pieces).strip() == text


def test_generation_stops_between_two_tokens_when_cancelled(model):
    pieces, ids = [], model.prompt.question_ids(QUESTION)
    with pytest.raises(Cancelled):
        continue_text(model.llm, model.tokenizer, ids, {}, 500, pieces.append, lambda: len(pieces) >= 3)
    assert len(pieces) == 3


def test_a_model_without_answers_answers_in_free_text(folder):
    model = Model.load(folder / "llm", "cpu")
    pieces = []
    scored = model.answer(QUESTION, {}, on_text=pieces.append)
    assert "".join(pieces).strip() == scored.answer
    assert 0 < scored.confidence < 1
    with pytest.raises(BadInput, match="model llm has no answer set"):
        model.score(QUESTION, {})


def test_threads_get_the_answers_of_separate_calls(model):
    latent_caches = [model.latents([readings(model, "lidar", seed=seed)]) for seed in range(3)]
    questions = [QUESTION, "what color is the light ?", "am i moving ?"]
    expected = {(i, q): model.score(q, latent_cache) for i, latent_cache in enumerate(latent_caches) for q in questions}
    wrong = []

    def ask(i):
        for _ in range(10):
            wrong.extend(q for q in questions if model.score(q, latent_caches[i]) != expected[i, q])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_same_seed_makes_the_same_model(tmp_path, model):
    again = Model.load(make_tiny_model(tmp_path), "cpu")
    assert again.revision == model.revision
    assert Model.load(make_tiny_model(tmp_path / "other", seed=1), "cpu").revision != model.revision


@pytest.mark.parametrize("part", [MODALITY_AGNOSTIC, ROUTER])
def test_another_modality_agnostic_connector_or_router_is_another_revision(tmp_path, part):
    folder = make_tiny_model(tmp_path)
    before = model_revision(folder)
    (folder / part).mkdir(exist_ok=True)
    with (folder / part / "model.safetensors").open("ab") as file:
        file.write(b"other weights")
    assert model_revision(folder) != before


def test_a_saved_model_answers_as_the_one_that_was_saved(tmp_path, model, folder):
    original = Model.load(folder, "cpu")
    original.save(target := tmp_path / "copy")
    copy = Model.load(target, "cpu")
    latent_cache = [m.latents(everything(m)) for m in (model, copy)]
    assert copy.score(QUESTION, latent_cache[1]) == model.score(QUESTION, latent_cache[0])
    assert copy.revision == original.revision == model.revision
    assert (target / "encoders" / "camera" / "model.safetensors").is_file()
    halves = [value.half() for value in model.modality_agnostic.state_dict().values()]
    assert all(map(torch.equal, (value.half() for value in copy.modality_agnostic.state_dict().values()), halves))
    assert load_file(target / "connectors.safetensors")["camera.log_gate"].dtype == torch.float16


def damaged(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def edit(path: Path, **entries) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def reshape(path: Path) -> None:
    state = load_file(path)
    key = sorted(state)[-1]
    save_file({**state, key: torch.zeros(3, 3)}, path)


def drop(path: Path) -> None:
    state = load_file(path)
    del state[sorted(state)[0]]
    save_file(state, path, metadata={"format": "pt"})


def poison(path: Path) -> None:
    state = load_file(path)
    state["camera.log_gate"][0] = torch.nan
    save_file(state, path)


SHAPE = {"token_width": 59, "linked_blocks": 3, "trunk": 64, "rank": 8}
DAMAGES = {
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json cannot be read"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), r"config\.json cannot be read"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), r"config\.json holds no JSON object"),
    "other format": (
        lambda f: edit(f / "config.json", format="mmllm_ros model 2"),
        r"config\.json is not of format 'mmllm_ros model 1'",
    ),
    "unknown entry": (lambda f: edit(f / "config.json", colour="red"), r"config\.json has an entry 'colour'"),
    "no temperature": (
        lambda f: edit(f / "config.json", temperature=0),
        r"config\.json: temperature is 0, not a positive number",
    ),
    "prompt without question": (
        lambda f: edit(f / "config.json", prompt="hi"),
        r"prompt template 'hi' does not hold \{question\} once",
    ),
    "answer without tokens": (lambda f: edit(f / "config.json", answers=["xylophone"]), r"cannot encode the answer 'xylophone'"),
    "answers alike": (lambda f: edit(f / "config.json", answers=["yes", "Yes"]), r"answers 'yes' and 'Yes' are the same tokens"),
    "huge connector": (
        lambda f: edit(f / "config.json", connectors={"camera": {**SHAPE, "trunk": 10**9}}),
        r"gives camera the shape .*1 to 16384",
    ),
    "path as modality": (lambda f: edit(f / "config.json", connectors={"../x": SHAPE}), r"names a modality '\.\./x'"),
    "connector without encoder": (
        lambda f: edit(f / "config.json", encoder_revisions={}),
        r"encoder_revisions is for \[\], connectors for",
    ),
    "wrong width": (
        lambda f: edit(f / "config.json", connectors={m: {**SHAPE, "token_width": 8} for m in ("camera", "imu", "lidar")}),
        r"connectors\.safetensors cannot be used: .*size mismatch",
    ),
    "too many blocks": (
        lambda f: edit(f / "config.json", connectors={m: {**SHAPE, "linked_blocks": 9} for m in ("camera", "imu", "lidar")}),
        r"config\.json cannot be used: 9 linked blocks, but the LLM has 4",
    ),
    "no connectors": (lambda f: (f / "connectors.safetensors").unlink(), r"connectors\.safetensors cannot be used: No such file"),
    "truncated connectors": (lambda f: truncate(f / "connectors.safetensors"), r"connectors\.safetensors cannot be used"),
    "reshaped connectors": (
        lambda f: reshape(f / "connectors.safetensors"),
        r"connectors\.safetensors cannot be used: .*size mismatch",
    ),
    "connectors with a missing key": (
        lambda f: drop(f / "connectors.safetensors"),
        r"connectors\.safetensors cannot be used: .*Missing key",
    ),
    "connectors with NaN": (
        lambda f: poison(f / "connectors.safetensors"),
        r"connectors\.safetensors cannot be used: camera\.log_gate holds NaN",
    ),
    "no llm": (lambda f: shutil.rmtree(f / "llm"), r"LLM .*llm cannot be loaded"),
    "no llm weights": (lambda f: (f / "llm" / "model.safetensors").unlink(), r"LLM .*llm cannot be loaded"),
    "truncated llm": (lambda f: truncate(f / "llm" / "model.safetensors"), r"LLM .*llm cannot be loaded"),
    "llm with a hole": (lambda f: drop(f / "llm" / "model.safetensors"), r"LLM .*llm cannot be loaded: its weights lack"),
    "llm of other shape": (lambda f: edit(f / "llm" / "config.json", intermediate_size=96), r"LLM .*llm cannot be loaded"),
    "other llm": (
        lambda f: edit(f / "llm" / "config.json", rms_norm_eps=0.5),
        r"llm has revision '\w{12}', but .*config\.json was made for",
    ),
    "other llm of the modality-agnostic connector": (
        lambda f: edit(f / "modality_agnostic" / "config.json", llm_revision="x"),
        r"modality_agnostic was made for LLM 'x', not for '\w{12}'",
    ),
    "huge modality-agnostic connector": (
        lambda f: edit(f / "modality_agnostic" / "config.json", shape={**SHAPE, "rank": 10**9}),
        r"modality_agnostic/config\.json gives the shape .*1 to 16384",
    ),
    "too many blocks of the modality-agnostic connector": (
        lambda f: edit(f / "modality_agnostic" / "config.json", shape={**SHAPE, "linked_blocks": 9}),
        r"modality_agnostic/config\.json cannot be used: 9 linked blocks, but the LLM has 4",
    ),
    "modality-agnostic connector without weights": (
        lambda f: (f / "modality_agnostic" / "model.safetensors").unlink(),
        r"modality_agnostic/model\.safetensors cannot be used: No such file",
    ),
    "other encoder": (lambda f: edit(f / "encoders" / "imu" / "config.json", depth=2), r"imu has revision '\w{12}', but"),
    "encoder without weights": (lambda f: (f / "encoders" / "imu" / "model.safetensors").unlink(), r"imu has revision"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_model_folder_is_refused_in_one_line(folder, tmp_path, damage):
    broken = damaged(folder, tmp_path)
    hurt, message = DAMAGES[damage]
    hurt(broken)
    with pytest.raises(BadInput, match=message) as refusal:
        Model.load(broken, "cpu")
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 700


def test_an_unknown_model_folder_is_refused_by_name(tmp_path):
    with pytest.raises(BadInput, match=r"model folder '.*nowhere' does not exist"):
        Model.load(tmp_path / "nowhere", "cpu")


def test_a_mistyped_path_is_not_a_hub_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(BadInput, match="model folder 'models/drive_tinyy' does not exist"):
        Model.load("models/drive_tinyy", "cpu")


def test_an_unreachable_hub_name_is_queried_once_and_refused_in_one_line(monkeypatch):
    def unreachable(name, timeout):
        raise OSError(f"no route to the hub\nfor {name}")

    monkeypatch.setattr("huggingface_hub.model_info", unreachable)
    with pytest.raises(
        BadInput, match=r"model 'nobody/nothing' is not a folder, .* the hub returns: no route to the hub for nobody"
    ):
        Model.load("nobody/nothing", "cpu")


def test_a_model_folder_without_encoders_loads(folder, tmp_path):
    alone = damaged(folder, tmp_path)
    shutil.rmtree(alone / "encoders")
    assert Model.load(alone, "cpu").encoder_revisions["camera"]


def test_only_connectors_train(model):
    assert all(parameter.requires_grad for parameter in model.connectors.parameters())
    assert not any(parameter.requires_grad for parameter in model.llm.parameters())
    owned = {id(parameter) for parameter in model.connectors.parameters()}
    assert owned.isdisjoint(id(parameter) for parameter in model.llm.parameters())


def test_a_tokenizer_without_an_end_token_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(BadInput, match="the tokenizer has no end token"):
        Model(tiny_llm(len(tokenizer)), tokenizer, Manifest(name="endless"))
