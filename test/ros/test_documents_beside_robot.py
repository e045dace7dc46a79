# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every command of the documents that talks to a running robot, run beside a drive as a reader would run it.

Where ROS 2 came as wheels there is no `ros2`: its service calls and topics are made through rclpy, and test/unit/test_readme.py
checks the rest. test_documents.py runs the other commands.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from documents import COMMANDS, MMLLM, NEEDS_A_ROBOT, fill, run
from rclpy.action import ActionClient


@pytest.fixture(scope="module")
def robot(tmp_path_factory) -> Iterator[Path]:
    """A drive that goes on in a second process, under the names that the documents use."""
    workplace = fill(tmp_path_factory.mktemp("workplace"))
    drives = [
        subprocess.Popen(
            [*MMLLM, "drive", "--duration", "0", "--out", f"out/{name}", *options], cwd=workplace, stdout=subprocess.DEVNULL
        )
        for name, options in (("one", ()), ("two", ("--namespace", "robot1", "--source", "robot", "--rig", "my_robot.yaml")))
    ]
    for options in ((), ("--namespace", "robot1")):
        deadline = time.monotonic() + 240
        while subprocess.run([*MMLLM, "ask", "Am I moving?", *options], cwd=workplace, capture_output=True).returncode:
            assert time.monotonic() < deadline, "the drive never answered"
    yield workplace
    for drive in drives:
        drive.send_signal(signal.SIGINT)
        drive.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line in COMMANDS if NEEDS_A_ROBOT.match(line)])
def test_a_command_runs_beside_a_robot(robot, ros, command) -> None:
    words = shlex.split(command)
    if words[0] == "mmllm":
        said = run(robot, [*MMLLM, *words[1:]], typed="Are there any cars?\n\n")
        assert "% sure" in said
    elif words[1:3] == ["service", "call"]:
        package, _, name = words[4].split("/")
        kind = getattr(import_module(f"{package}.srv"), name)
        request = kind.Request(**yaml.safe_load(words[5]))
        # On a busy machine the newest tokens may be too old to teach with.
        assert ros.until(lambda: ros.call(kind, words[3], request).success)
    elif words[1:3] == ["action", "send_goal"]:
        package, _, name = words[5].split("/")
        kind = getattr(import_module(f"{package}.action"), name)
        client = ActionClient(ros.tester, kind, words[4])
        assert client.wait_for_server(60.0)
        accepted = client.send_goal_async(kind.Goal(**yaml.safe_load(words[6])))
        result = ros.until(accepted.done) and accepted.result().get_result_async()
        ros.until(result.done)
        assert result.result().result.message  # one sample is too few, and the node says so
    elif "pub" in words:
        package, _, name = words[5].split("/")
        answers = ros.collect(import_module("mmllm_ros.msg").Answer, "/mmllm/answers")
        kind = getattr(import_module(f"{package}.msg"), name)
        message = kind(**yaml.safe_load(words[6]))
        ros.publisher(kind, words[4]).publish(message)
        ros.until(lambda: any(answer.question == message.data for answer in answers))
    else:
        assert words[:3] == ["ros2", "topic", "echo"]
        answers = ros.collect(import_module("mmllm_ros.msg").Answer, words[3])
        ros.until(lambda: answers)
