# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm ask`: one question, and a conversation that a refused question does not end."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from rclpy.parameter import Parameter

from mmllm_ros.nodes.llm import Llm


@pytest.fixture
def robot(ros, tiny_model):
    node = ros.add(Llm(parameter_overrides=[Parameter("model", value=str(tiny_model)), Parameter("device", value="cpu")]))
    ros.until(lambda: node.worker.assistant)
    return node


def mmllm_ask(*words, typed=""):
    command = [sys.executable, "-m", "mmllm_ros", "ask", *map(str, words)]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=240, env=os.environ)


def test_one_question_gets_its_answer_with_its_evidence_and_as_json(robot, tmp_path):
    done = mmllm_ask("Are there any cars?", "--json", tmp_path / "answer.jsonl")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "answer.jsonl").read_text())
    assert record["question"] == "Are there any cars?" and record["answer"] in done.stdout
    assert all(f"{modality}" in done.stdout for modality in ("camera", "lidar", "imu")) and "no data received yet" in done.stdout


def test_the_prompt_returns_after_a_refused_question_and_ends_with_an_empty_line(robot, tmp_path):
    typed = "\n".join(["Are there any cars?", "x" * 2001, "Am I moving?", "", "never asked"])
    done = mmllm_ask("--json", tmp_path / "answers.jsonl", typed=typed)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [record["question"] for record in records] == ["Are there any cars?", "Am I moving?"]
    assert "at most 2000 are allowed" in done.stdout
    assert "never asked" not in done.stdout


def test_without_a_robot_it_says_where_it_looked(ros):
    done = mmllm_ask("Am I moving?", "--namespace", "nowhere")
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 2 and "/nowhere/mmllm/ask_question" in line
