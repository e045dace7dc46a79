# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The whole drive in one process: it answers, ends by itself and writes its log; bad input ends with one line."""

from __future__ import annotations

import json
import threading
import time

import cv2
import pytest
from harness import process

from mmllm_ros.config import DriveConfig
from mmllm_ros.datatypes import NANOSECONDS, Answer
from mmllm_ros.io.rosbag import Recorder
from mmllm_ros.nodes.clients.drive_client import DriveClient
from mmllm_ros.nodes.drive import run
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive


def drive(tmp_path, model, **settings) -> int:
    return run(DriveConfig(model=str(model), device="cpu", out=str(tmp_path / "out"), interval=0.5, **settings))


def answers(tmp_path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "out" / "drive.jsonl").read_text().splitlines()]


def record(path, frames) -> None:
    """A recording of a simulated drive, ten frames a second."""
    rig = load_rig("front")
    world = Drive(3, rig, "day")
    with Recorder(path, rig) as recorder:
        for _ in range(frames):
            snapshot = world.capture()
            recorder.write([*snapshot.cameras, snapshot.lidar, snapshot.imu])
            world.advance(0.1)


@pytest.fixture
def five_answers(monkeypatch):
    """End the drive after five answers with evidence of all modalities, however slow the machine is."""
    on_outcome = DriveClient._on_outcome
    seen = []

    def count(self, answer, truth):
        on_outcome(self, answer, truth)
        if isinstance(answer, Answer) and len({item.modality for item in answer.evidence}) == 3:
            seen.append(answer)
        if len(seen) == 5:
            self.end()

    monkeypatch.setattr(DriveClient, "_on_outcome", count)


def test_a_simulated_drive_answers_with_evidence_and_writes_its_log(tmp_path, tiny_model, capsys, five_answers):
    threads = threading.active_count()
    assert drive(tmp_path, tiny_model, duration=600.0) == 0
    lines = answers(tmp_path)
    keys = {"question", "answer", "truth", "confidence", "latency", "evidence", "unplugged", "model", "revision"}
    assert keys | {"time", "context"} == set(lines[0])
    assert all(line["truth"] and line["question"] for line in lines)
    # A question that is asked before the drive has ended is answered as well.
    assert sum({item["modality"] for item in line["evidence"]} == {"camera", "lidar", "imu"} for line in lines) >= 5
    # Less than nothing, where a reading overtakes the /clock message that makes it due.
    assert all(item["age"] <= 1.5 and item["stamp"] > 0 for line in lines for item in line["evidence"])
    picture = cv2.imread(str(tmp_path / "out" / "drive.png"))
    assert picture is not None and picture.shape[0] >= 400 and picture.std() > 20
    assert lines[-1]["question"] in capsys.readouterr().out
    assert threading.active_count() <= threads + 1, "a node left a thread behind"


def test_a_drive_without_an_answer_ends_by_itself_with_status_1_and_the_reason(tmp_path, tiny_model, capsys):
    assert drive(tmp_path, tiny_model, source="robot", duration=6.0) == 1
    assert answers(tmp_path) == []
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("no question was answered in 6 s: ")


def test_a_drive_on_a_robot_with_simulated_time_uses_its_clock(tmp_path, tiny_model, monkeypatch):
    record(tmp_path / "bag", 20)
    seen = []
    on_outcome = DriveClient._on_outcome

    def count(self, answer, truth):
        on_outcome(self, answer, truth)
        seen.extend([answer] if isinstance(answer, Answer) and answer.evidence else [])
        if seen:
            self.end()

    monkeypatch.setattr(DriveClient, "_on_outcome", count)
    config = DriveConfig(
        model=str(tiny_model), device="cpu", out=str(tmp_path / "out"), interval=0.5, source="robot", duration=600.0
    )
    with process("mmllm_ros.nodes.replay", "--ros-args", "-p", f"bag:={tmp_path / 'bag'}", "-p", "loop:=true"):
        assert run(config, use_sim_time=True) == 0
    assert abs(time.time_ns() - seen[0].stamp) > 86_400 * NANOSECONDS


@pytest.mark.slow
def test_a_drive_over_a_bag_ends_with_it_and_needs_no_truth(tmp_path, tiny_model):
    record(tmp_path / "bag", 60)
    assert drive(tmp_path, tiny_model, source="bag", bag=str(tmp_path / "bag"), duration=60.0) == 0
    lines = answers(tmp_path)
    assert lines and all(line["truth"] is None for line in lines)
    assert any(line["evidence"] for line in lines)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"source": "bag", "bag": "/no/such/bag"}, "/no/such/bag"),
        ({"source": "bag"}, "bag"),
        ({"model": "/no/such/model"}, "/no/such/model"),
        ({"rig": "no_such_rig"}, "no_such_rig"),
    ],
)
def test_bad_input_ends_with_one_line_and_status_2(tmp_path, tiny_model, capsys, settings, part):
    settings = {"model": str(tiny_model), **settings}
    assert drive(tmp_path, duration=20.0, **settings) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if part in line and not line.startswith("[")]
    assert len(lines) == 1
