# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm ask`: one question, and a conversation that a refused question does not end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from mmllm_ros.action import AskQuestion
from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future

from mmllm_ros.nodes.clients.ask_client import ACTION
from mmllm_ros.nodes.llm import Llm
from mmllm_ros.nodes.ros_support import qos


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


class DeafLlm(Node):
    """Accepts questions and never answers; a request to cancel one is not answered until `free` is set."""

    def __init__(self) -> None:
        super().__init__("llm")
        self.declare_parameter("timeout", 0.5)
        self.asked: list[str] = []
        self.free = threading.Event()
        options = {"callback_group": ReentrantCallbackGroup(), "cancel_callback": self._on_cancel, **qos.ACTION_SERVICES}
        self._server = ActionServer(self, AskQuestion, ACTION, self._on_goal, **options)

    async def _on_goal(self, goal):
        self.asked.append(goal.request.question)
        await Future()

    def _on_cancel(self, goal) -> CancelResponse:
        self.free.wait()
        return CancelResponse.ACCEPT

    def destroy_node(self) -> None:
        self._server.destroy()
        super().destroy_node()


@pytest.fixture
def deaf(ros):
    node = ros.add(DeafLlm())
    yield node
    node.free.set()


def test_a_question_that_the_node_does_not_answer_ends_after_the_timeout_of_the_node(deaf):
    done = mmllm_ask("Am I moving?")
    assert deaf.asked == ["Am I moving?"] and done.returncode == 2
    assert done.stderr.strip() == "mmllm: the llm node did not respond within 5.5 s, ask again"


def test_ctrl_c_ends_one_question_although_the_node_does_not_respond_and_the_next_one_is_asked(ros, deaf, tmp_path):
    command = ["env", "--default-signal=INT", sys.executable, "-m", "mmllm_ros", "ask", "--timeout", "500"]
    output = tmp_path / "output"
    with output.open("w") as file, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, text=True) as asking:

        def ask(question: str) -> None:
            asking.stdin.write(f"{question}\n")
            asking.stdin.flush()
            ros.until(lambda: deaf.asked[-1:] == [question])

        ask("Am I moving?")
        time.sleep(1.0)  # it is accepted, so that it can be cancelled
        asking.send_signal(signal.SIGINT)
        ros.until(lambda: "cancelled" in output.read_text())
        deaf.free.set()
        ask("Are there any cars?")
        asking.kill()
