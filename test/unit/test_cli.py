# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: printed text, written files, and one line with status 2 for bad input."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tiny_model import make_tiny_model
from typer.main import get_command

from mmllm_ros.cli import app, main
from mmllm_ros.commands.adapt import AdaptSettings
from mmllm_ros.commands.drive import _source
from mmllm_ros.commands.settings_file import read_settings
from mmllm_ros.datatypes import NANOSECONDS
from mmllm_ros.io.question_files import read_questions
from mmllm_ros.io.rosbag import Recorder, Recording
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.splits import FIRST_SEED
from mmllm_ros.simulator.truth import SceneTruth


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Three seconds of a simulated drive."""
    rig = load_rig("front")
    drive = Drive(3, rig, "day")
    path = tmp_path_factory.mktemp("cli") / "bag"
    with Recorder(path, rig) as recorder:
        for _ in range(7):
            snapshot = drive.capture()
            recorder.write([snapshot.imu, *snapshot.cameras, snapshot.lidar])
            drive.advance(0.5)
    return path


def test_replay_offline_answers_with_evidence_of_all_recorded_modalities(bag, model, tmp_path, capsys):
    file = tmp_path / "answers.jsonl"
    questions = ["--ask", "Are there any cars?", "--ask", "Am I moving?"]
    assert main(["replay", str(bag), "--offline", *questions, "--model", str(model), "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "rig front" in printed and "Are there any cars?" in printed
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["question"] for record in records] == questions[1::2]
    for record in records:
        assert {item["modality"] for item in record["evidence"]} == {"camera", "lidar", "imu"}
        assert all(0.0 <= item["age"] <= 1.5 for item in record["evidence"])
        assert record["unplugged"] == [] and record["model"] == "tiny" and 0.0 <= record["confidence"] <= 1.0


def test_replay_offline_does_without_a_covered_camera_as_the_robot_does(model, tmp_path):
    rig, path, file = load_rig("front"), tmp_path / "bag", tmp_path / "answers.jsonl"
    drive = Drive(3, rig, "day")
    with Recorder(path, rig) as recorder:
        for _ in range(7):
            snapshot = drive.capture()
            covered = [replace(frame, image=np.zeros_like(frame.image)) for frame in snapshot.cameras]
            recorder.write([snapshot.imu, *covered, snapshot.lidar])
            drive.advance(0.5)
    command = ["replay", str(path), "--offline", "--ask", "Are there any cars?", "--model", str(model), "--json", str(file)]
    assert main(command) == 0
    record = json.loads(file.read_text())
    assert "camera" not in {item["modality"] for item in record["evidence"]}
    assert "black image" in next(item["reason"] for item in record["unplugged"] if item["modality"] == "camera")


def test_answering_connects_to_nothing_on_a_network(bag, model, monkeypatch):
    asked = []
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, lambda *arguments: asked.append(arguments[1:]))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: asked.append(arguments))
    assert main(["replay", str(bag), "--offline", "--ask", "Are there any cars?", "--model", str(model)]) == 0
    assert not asked


def test_replay_writes_answers_and_pictures_of_recorded_frames_for_the_report(bag, model, tmp_path):
    questions = ["--ask", "Are there any cars?", "--ask", "Am I moving?"]
    assert main(["replay", str(bag), "--offline", *questions, "--model", str(model), "--out", str(tmp_path)]) == 0
    records = [json.loads(line) for line in (tmp_path / "drive.jsonl").read_text().splitlines()]
    assert [record["truth"] for record in records] == [None, None]
    assert 0.0 <= records[0]["time"] < records[1]["time"] <= 3.0  # seconds of the recording
    assert {path.name for path in (tmp_path / "moments").iterdir()} == {f"{n}.{k}.jpg" for n in "12" for k in ("camera", "lidar")}


def test_more_questions_than_the_recording_has_frames_start_it_again(bag, model, tmp_path):
    file = tmp_path / "answers.jsonl"
    questions = ["--ask", "Am I moving?"] * 12
    assert main(["replay", str(bag), "--offline", *questions, "--model", str(model), "--json", str(file)]) == 0
    assert len(file.read_text().splitlines()) == 12


def test_a_modality_that_is_not_recorded_is_named_with_the_answer(model, tmp_path):
    rig, path, file = load_rig("front"), tmp_path / "bag", tmp_path / "answers.jsonl"
    with Recorder(path, rig) as recorder:
        recorder.write([Drive(3, rig, "day").capture().imu])
    assert main(["replay", str(path), "--offline", "--ask", "Am I moving?", "--model", str(model), "--json", str(file)]) == 0
    record = json.loads(file.read_text())
    assert [item["modality"] for item in record["evidence"]] == ["imu"]
    assert {item["modality"] for item in record["unplugged"]} == {"camera", "lidar"}


def test_simulate_writes_recording_questions_and_truth_split_by_scene(tmp_path, monkeypatch):
    out = tmp_path / "sim"
    monkeypatch.setattr("mmllm_ros.datasets.simulated_recording.FRAMES_PER_SCENE", 1)
    assert main(["simulate", "--frames", "10", "--seed", "4", "--out", str(out), "--context", "night"]) == 0
    seeds = {}
    for split in ("train", "val", "test"):
        scene = json.loads((out / split / "scene.json").read_text())
        truths = [SceneTruth.from_json(item) for item in scene["truth"]]
        seeds[split] = scene["seeds"]
        assert scene["context"] == "night" and {truth.weather.name for truth in truths} == {"night"}
        recording = Recording(out / split / "recording")
        assert recording.topics["/camera/front/image_raw"].count == len(truths)
        stamps = {str(frame.stamp) for frame in recording.frames(load_rig("front"))}
        tokens = {question.sample_token for question in read_questions(out / split / "questions.json")}
        assert tokens <= {truth.token for truth in truths} <= stamps
    # of ten scenes eight, one and one
    assert [len(seeds[split]) for split in ("train", "val", "test")] == [8, 1, 1]
    assert seeds["train"] == [FIRST_SEED["train"] + 4 + number for number in range(8)]
    assert seeds["test"] == [FIRST_SEED["test"] + 4]


def test_scenes_of_a_recording_are_far_apart_in_time(tmp_path):
    assert main(["simulate", "--frames", "12", "--out", str(tmp_path / "sim")]) == 0
    scene = json.loads((tmp_path / "sim/train/scene.json").read_text())
    gaps = np.diff([truth["stamp"] for truth in scene["truth"]])
    assert sorted(set(gaps)) == [NANOSECONDS // 2, 10 * NANOSECONDS + NANOSECONDS // 2]


def test_the_same_seed_simulates_the_same_questions(tmp_path):
    for name in ("a", "b"):
        assert main(["simulate", "--frames", "3", "--out", str(tmp_path / name), "--no-bag"]) == 0
    first, second = ((tmp_path / name / "train/questions.json").read_bytes() for name in ("a", "b"))
    assert first == second
    assert not (tmp_path / "a/train/recording").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["fly"], "fly"),
        (["replay"], "bag"),
        (["replay", "nowhere", "--offline", "--ask", "Am I moving?"], "nowhere"),
        (["replay", "{bag}", "--offline"], "--ask"),
        (["replay", "{bag}", "--offline", "--ask", " "], "empty"),
        (["replay", "{bag}", "--ask", "x" * 100_000], "100000"),
        (["replay", "{bag}", "--settings", "{rate}", "--ask", "Am I moving?"], "rate is 0.0, not between"),
        (["replay", "{bag}", "--offline", "--ask", "Am I moving?", "--rig", "tank"], "tank"),
        (["replay", "{bag}", "--offline", "--ask", "Am I moving?", "--rig", "imu_stationary"], "ins/imu"),
        (["replay", "{bag}", "--offline", "--ask", "Am I moving?", "--model", "no/such/folder"], "no/such/folder"),
        (["replay", "{bag}", "--offline", "--ask", "Am I moving?", "--model", "{model}", "--device", "abacus"], "abacus"),
        (["simulate", "--frames", "0", "--out", "x"], "frames"),
        (["simulate", "--frames", "1", "--out", "{bag}"], "not empty"),
        (["simulate", "--frames", "1", "--out", "x", "--context", "blizzard"], "blizzard"),
        (["train", "--config", "none.yaml", "--out", "x", "--work", "y"], "none.yaml"),
        (["evaluate-recording", "x"], "--questions"),
        (["drive", "--duration", "-1"], "duration"),
        (["drive", "--source", "moon"], "moon"),
    ],
)
def test_bad_input_is_one_line_that_names_it_and_status_2(arguments, named, bag, model, tmp_path, capsys):
    rate = tmp_path / "rate.yaml"
    rate.write_text("rate: 0")
    assert main([argument.format(bag=bag, model=model, rate=rate) for argument in arguments]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.strip().splitlines()
    assert line.startswith("mmllm: ") and named in line


def test_a_file_that_cannot_be_written_is_named(bag, model, tmp_path, capsys):
    (tmp_path / "file").touch()
    target = str(tmp_path / "file" / "answers.jsonl")
    assert main(["replay", str(bag), "--offline", "--ask", "Am I moving?", "--model", str(model), "--json", target]) == 2
    assert target in capsys.readouterr().err


def test_doctor_finds_a_missing_model_and_gives_the_cure(tmp_path, capsys):
    file = tmp_path / "doctor.json"
    assert main(["doctor", "--model", str(tmp_path / "none"), "--rig", "tank", "--json", str(file)]) == 1
    findings = {finding["what"]: finding for finding in json.loads(file.read_text())}
    assert findings["interpreter"]["state"] == "ok"
    assert findings["model"]["state"] == findings["rig"]["state"] == "fault"
    assert findings["model"]["cure"]


def test_help_lists_the_commands(capsys):
    assert main([]) == 0
    join_names = capsys.readouterr().out
    assert all(f" {command} " in join_names for command in get_command(app).commands)


def test_every_option_has_a_help_text_and_a_command_has_few_of_them():
    # One for each error of a simulated IMU; one for each kind of sensor and source of real frames.
    many = {"drive": 10, "evaluate-imu": 15, "evaluate-frames": 10, "adapt-scenario": 10}
    commands = get_command(app).commands
    commands |= {f"modality {name}": command for name, command in commands["modality"].commands.items()}
    for name, command in commands.items():
        options = [parameter for parameter in command.params if parameter.opts[0].startswith("-")]
        assert len(options) <= many.get(name, 9), name
        assert command.help and all(option.help for option in options), name


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("speed: 3", "unknown entry 'speed', use interval, seed, device, threads, clock"),
        ("interval: often", "interval is 'often', not a float"),
        ("seed: -1", "seed is -1"),
        ("[1, 2]", "not a mapping"),
        ("{", "settings"),
    ],
)
def test_a_wrong_settings_file_is_refused_in_one_line(text, named, tmp_path, capsys):
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    assert main(["drive", "--settings", str(file)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert named in line and str(file) in line


def test_settings_are_read_with_numbers_in_exponent_form(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("flops: 1e12")
    assert read_settings(file, AdaptSettings) == {"flops": 1e12}
    assert read_settings(None, AdaptSettings) == {}


def test_a_drive_takes_a_recording_as_its_source(bag):
    assert _source("robot") == {"source": "robot"} and _source(str(bag)) == {"source": "bag", "bag": str(bag)}


def test_help_keeps_the_units(capsys):
    assert main(["drive", "--help"]) == 0
    assert "[s]" in capsys.readouterr().out


def test_offline_commands_do_not_touch_ros():
    code = "import sys, mmllm_ros.cli, mmllm_ros.io.rosbag, mmllm_ros.offline_replay; print('rclpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_an_argument_that_is_no_utf_8_is_refused_in_one_line(capsys):
    assert main(["ask", "word\udce9?"]) == 2
    assert capsys.readouterr().err.strip().endswith("is not valid UTF-8 at 4")
