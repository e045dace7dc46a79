# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modality packs: a ninth modality, a laser scan, is added to a model by command, and no other answer changes by a bit."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import tiny_llm, tiny_tokenizer

from mmllm_ros.assistant import Assistant
from mmllm_ros.cli import main
from mmllm_ros.config import LlmConfig
from mmllm_ros.datatypes import BadInput, Plan, Question, Signal
from mmllm_ros.encoders import load_encoder
from mmllm_ros.encoders.universal.encoder import UniversalEncoder
from mmllm_ros.encoders.universal.packs import Pack, Packs
from mmllm_ros.encoders.universal.signals import Layout
from mmllm_ros.latent.connector import Connector
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.model import Model
from mmllm_ros.question_policy import question_policy
from mmllm_ros.resources import PACKS
from mmllm_ros.rig import load_rig
from mmllm_ros.training.continual.labelled_signals import write_labelled_signals

OLD = {"imu": Layout("imu", (32,)), "array": Layout("array", (2, 16))}
BACKBONE = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 24}
SCAN = ["--kind", "array", "--size", "1,180"]
NEAR = "is there a thing ahead ?"


def scan(near: bool, rng: np.random.Generator) -> np.ndarray:
    """Ranges of a laser scan of 180 rays [m] as an array [1, 180], with or without a thing 2 m ahead."""
    ranges = rng.uniform(8.0, 12.0, (1, 180))
    ranges[:, 80:100] = 2.0 if near else 10.0
    return ranges.astype(np.float32)


def write_scans(folder: Path, count: int = 60) -> Path:
    """Labelled scans; every second one has a thing ahead."""
    rng = np.random.default_rng(0)
    arrays = {f"{number:03d}": scan(number % 2 == 0, rng) for number in range(count)}
    answers = ("yes", "no")
    questions = [Question(NEAR, answers[int(token) % 2], "exist", 0, token) for token in arrays]
    write_labelled_signals(folder, arrays, questions, fov=3.1)
    return folder


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Path:
    """A model folder with a universal encoder for two modalities, and settings for short trainings."""
    folder = tmp_path_factory.mktemp("shipped") / "model"
    torch.manual_seed(0)
    layouts = {name: layout.to_settings() for name, layout in OLD.items()}
    encoder = UniversalEncoder(load_rig("front"), layouts, {"tokens": 4, "experts": 2, "blocks": 1}, backbone_shape=BACKBONE)
    encoder.save(folder / "encoders" / "universal")
    tokenizer = tiny_tokenizer()
    llm = tiny_llm(len(tokenizer))
    connectors = {name: Connector(name, encoder.token_width, llm, 2, trunk=32, rank=4) for name in OLD}
    revisions = dict.fromkeys(OLD, encoder.revision)
    Model(
        llm, tokenizer, Manifest("tiny", answers=["yes", "no", "car"], encoder_revisions=revisions, attend_last=2), connectors
    ).save(folder)
    (folder / "settings.yaml").write_text("batch: 32\nlearning_rate: 5.0e-3\nrank: 4\noffset: 6.0\nscale: 4.0\n")
    write_scans(folder / "scans")
    return folder


@pytest.fixture
def folder(shipped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped, tmp_path / "model"))


def packs_of(folder: Path) -> Packs:
    return Packs.of_model(folder, load_rig("front"), "cpu")


def train(folder: Path, name: str, *more: str, steps: int = 1) -> int:
    common = ["--model", str(folder), "--work", str(folder / "work" / name), "--settings", str(folder / "settings.yaml")]
    return main(["modality", "train", name, "--samples", str(folder / "scans"), *SCAN, *common, "--steps", str(steps), *more])


def old_answers(folder: Path) -> str:
    """A hash over the tokens of every old modality, and over the answers without sensors, with each of them, and with all."""
    packs, model = packs_of(folder), Model.load(folder, "cpu")
    rng = np.random.default_rng(5)
    signals = [Signal("imu", 1, "imu", rng.normal(size=(50, 6))), Signal("array", 1, "sonar", rng.normal(size=(2, 20)))]
    tokens = packs.encode(signals)
    found = hashlib.sha256(b"".join(one.values.tobytes() + one.places.tobytes() for one in tokens))
    for connected in ([], tokens[:1], tokens[1:], tokens):
        for question in (NEAR, "are there any cars ?", "am i moving ?"):
            found.update(repr(model.score(question, model.latents(connected)).distribution).encode())
    return found.hexdigest()


def refused(capsys, *arguments: str) -> str:
    """The one line that a command is refused with."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1
    return output.err


def test_a_laser_scan_is_added_and_removed_by_command_and_old_answers_stay_bit_identical(folder, capsys):
    before = old_answers(folder)
    assert train(folder, "scan", steps=60) == 0
    assert old_answers(folder) == before
    # The pack answers about scans that it was not trained on.
    packs, model, rng = packs_of(folder), Model.load(folder, "cpu"), np.random.default_rng(9)
    assert model.modalities == ("array", "imu", "scan")
    for near, answer in ((True, "yes"), (False, "no")):
        (tokens,) = packs.encode([Signal("scan", 1, "laser", scan(near, rng), fov=3.1)])
        assert tokens.encoder == model.encoder_revisions["scan"] == packs.loaded["scan"].revision
        assert model.score(NEAR, model.latents([tokens])).answer == answer
    # On the robot the pack is connected for questions like its own only: others get the same answer as without it.
    (imu,) = packs.encode([Signal("imu", 1, "imu", rng.normal(size=(50, 6)))])
    assistant = Assistant(model, LlmConfig(), lambda: 1, question_policy(folder, model, load_rig("front"), pytest.fail))
    assistant.set_plan(Plan(1, {"imu": True, "scan": True}, {}, "", 0, available=("imu", "scan")))
    for one in (imu, tokens):
        assistant.put(one)
    near, moving = assistant.ask(NEAR), assistant.ask("Do you feel the robot move?")
    assert (near.answer, [one.modality for one in near.evidence]) == ("no", ["scan"])
    assert [one.modality for one in moving.evidence] == ["imu"]
    assert moving.confidence == model.score("Do you feel the robot move?", model.latents([imu])).confidence
    assert moving.unplugged["scan"] == "not used: the question is like those of imu"
    assert main(["modality", "remove", "scan", "--model", str(folder)]) == 0
    assert old_answers(folder) == before
    assert Model.load(folder, "cpu").modalities == ("array", "imu")


def test_a_pack_that_another_one_uses_is_not_written_by_its_training_and_cannot_be_removed(folder, capsys):
    assert train(folder, "scan") == 0
    written = {path: path.read_bytes() for path in sorted((folder / PACKS / "scan").rglob("*")) if path.is_file()}
    assert train(folder, "second_scan", "--uses", "scan", steps=2) == 0
    assert {path: path.read_bytes() for path in written} == written
    assert main(["modality", "list", "--model", str(folder), "--json", str(folder / "list.json")]) == 0
    assert '"uses": [\n   "scan"\n  ]' in (folder / "list.json").read_text()
    line = refused(capsys, "modality", "remove", "scan", "--model", str(folder))
    assert line == "mmllm: pack 'scan' cannot be removed: its adapters are used by second_scan; remove that first\n"
    assert main(["modality", "remove", "second_scan", "--model", str(folder)]) == 0
    assert main(["modality", "remove", "scan", "--model", str(folder)]) == 0


def test_a_pack_moves_to_another_copy_of_the_model_and_gives_the_same_tokens(folder, shipped, tmp_path, capsys):
    assert train(folder, "scan") == 0
    other = Path(shutil.copytree(shipped, tmp_path / "other"))
    assert main(["modality", "add", str(folder / PACKS / "scan"), "--model", str(other)]) == 0
    signal = [Signal("scan", 1, "laser", scan(True, np.random.default_rng(1)))]
    assert np.array_equal(*(packs_of(place).encode(signal)[0].values for place in (folder, other)))
    assert "has a pack 'scan' already" in refused(capsys, "modality", "add", str(folder / PACKS / "scan"), "--model", str(other))


def test_a_pack_of_another_encoder_another_pack_or_another_llm_is_refused_by_name(folder, capsys):
    assert train(folder, "scan") == 0
    encoder = load_encoder(folder / "encoders" / "universal", load_rig("front"), "cpu")
    scan_pack = Pack.load(folder / PACKS / "scan", encoder, {})
    second = Pack(encoder, "second", scan_pack.layout, {"scan": scan_pack}, 4)
    second.save(folder / "second")
    with pytest.raises(BadInput, match="uses the pack 'scan', which is not there"):
        Pack.load(folder / "second", encoder, {})
    scan_pack.revision = "another"
    with pytest.raises(BadInput, match=r"uses revision '\w+' of pack 'scan', not 'another'"):
        Pack.load(folder / "second", encoder, {"scan": scan_pack})
    encoder.revision = "another"
    with pytest.raises(BadInput, match=r"made for encoder '\w+', not for 'another'"):
        Pack.load(folder / PACKS / "scan", encoder, {})
    config = folder / PACKS / "scan" / "connector" / "config.json"
    config.write_text(config.read_text().replace('"llm_revision": "', '"llm_revision": "x'))
    with pytest.raises(BadInput, match=r"made for LLM 'x\w+', not for"):
        Model.load(folder, "cpu")


def test_a_pack_is_saved_only_for_an_encoder_that_is_saved(tmp_path):
    encoder = UniversalEncoder(load_rig("front"), {}, {"tokens": 4, "blocks": 1}, backbone_shape=BACKBONE)
    with pytest.raises(BadInput, match="the encoder that it is for is not saved yet"):
        Pack(encoder, "scan", Layout("array", (1, 180))).save(tmp_path)


def test_bad_input_gives_one_line_that_names_it(folder, capsys):
    model = ["--model", str(folder)]
    assert "there is no pack 'sonar', only []" in refused(capsys, "modality", "remove", "sonar", *model)
    assert "config.json" in refused(capsys, "modality", "add", str(folder / "nothing"), *model)
    other = ["--samples", str(folder), "--work", str(folder), "--model", "drive_tiny"]
    assert "drive_tiny has no universal encoder" in refused(capsys, "modality", "train", "scan", *SCAN, *other)
    common = ["--samples", str(folder / "scans"), "--work", str(folder / "work"), *model]
    (folder / "like.yaml").write_text("like: sonar")
    for arguments, line in (
        (["Scan", *SCAN], "'Scan' is not a plain lower-case name"),
        (["imu", *SCAN], "knows modality 'imu' already"),
        (["scan", "--kind", "smell", "--size", "1"], "kind of signal 'smell'"),
        (["scan", "--kind", "array", "--size", "one"], "size 'one' is not whole numbers"),
        (["scan", *SCAN, "--uses", "sonar"], "no pack 'sonar' to use"),
        (["scan", *SCAN, "--settings", str(folder / "like.yaml")], "does not know modality 'sonar'"),
        (["scan", "--kind", "imu", "--size", "32"], "shape [1, 180]"),
        (["scan", "--kind", "array", "--size", "60000,60000"], "has 3600000000 numbers, more than 1048576"),
    ):
        assert line in refused(capsys, "modality", "train", *arguments, *common)
    write_scans(folder / "scans", 12)
    assert "at least 10 of each are needed" in refused(capsys, "modality", "train", "scan", *SCAN, *common)
