# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every command and every Python block of the documents, run as a reader would run them, in a folder with what they name.

Long commands run with the smaller numbers of SHORTER. Left out are those of LEFT_OUT, with the reason, and `ros2` where
ROS 2 came as wheels: its service calls and topics are then made through rclpy, and test/unit/test_readme.py checks the rest.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from rclpy.action import ActionClient

from mmllm_ros.resources import default_model

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
BLOCKS = [
    (page, *block) for page in PAGES for block in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
]
LINES = [
    re.split(r"\s+#", line)[0].strip()
    for _, kind, block in BLOCKS
    if kind == "sh"
    for line in block.replace("\\\n", " ").splitlines()
]
COMMANDS = list(dict.fromkeys(filter(None, LINES)))

SHORTER = {
    "--duration 30": "--duration 8",
    "--duration 10": "--duration 8",
    "--scenes 100": "--scenes 2",
    "--scenes 200": "--scenes 2",
    "-m pytest": "-m pytest --collect-only",
}
INSTALL = "an installation that takes minutes and a network"
LEFT_OUT = {
    "rerun out/drive.rrd": "a window; test/unit/test_rerun.py reads recordings back",
    "make test": "this test is a part of it",
    "source /opt/ros/jazzy/setup.bash": INSTALL,
    "mkdir -p ws/src && cd ws && git clone <url> src/mmllm_ros": INSTALL,
    "rosdep install --from-paths src --ignore-src -y": INSTALL,
    "python3 -m venv --system-site-packages .venv && . .venv/bin/activate": INSTALL,
    "python -m colcon build --cmake-args -DPython3_EXECUTABLE=$(which python)": INSTALL,
    ". install/setup.bash && ros2 launch mmllm_ros drive.launch.py": INSTALL,
    "mmllm fetch nanodet": INSTALL,
    **dict.fromkeys(
        (line for line in COMMANDS if "config/train/universal" in line or "benchmark/universal" in line),
        "takes an hour; test/unit/test_universal_training.py trains and evaluates a small one",
    ),
    **dict.fromkeys(
        (line for line in COMMANDS if "qwen" in line), "needs a model hub; test/unit/test_larger_models.py has tiny ones"
    ),
    **dict.fromkeys((line for line in COMMANDS if "--source robot" in line), "no sensors here, see test/ros/test_drive.py"),
    "mmllm mcp --http --port 8765": "it serves until Ctrl-C; test/ros/test_mcp.py asks it",
    "mmllm rig --from-topics > my_robot.yaml": "no sensors here, see test/ros/test_rig_command.py",
    "mmllm evaluate-frames FRAMES --labels": "test/unit/test_evaluate_frames.py runs it on a small folder",
    "mmllm evaluate-frames FRAMES --detector nanodet --calibrate": "needs the detector that `mmllm fetch nanodet` installs",
}
NEEDS_A_ROBOT = re.compile(r"mmllm ask|ros2 (service|topic|action)")
IN_THE_CHECKOUT = re.compile(r"make |\. \./env\.sh|python (-m pytest|benchmark/)")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with what the documents name: BAG, questions.json, my_robot.yaml, LLM, and what a replay left in out/."""
    folder = tmp_path_factory.mktemp("workplace")
    (rig,) = (block for _, kind, block in BLOCKS if kind == "yaml" and "cameras" in block)
    (folder / "my_robot.yaml").write_text(rig)
    (training,) = (block for _, kind, block in BLOCKS if kind == "yaml" and "stages" in block)
    (folder / "my_llm.yaml").write_text(re.sub(r"(frames|calibration_scenes|steps): \d+", r"\1: 2", training))
    rig_options = ["--rig", "my_robot.yaml"]
    run(folder, [*MMLLM, "simulate", "--frames", "24", "--out", "sim", "--context", "day", *rig_options])
    (folder / "BAG").symlink_to(folder / "sim" / "train" / "recording")
    shutil.copy(folder / "sim" / "train" / "questions.json", folder / "questions.json")
    run(folder, [*MMLLM, "replay", "BAG", *rig_options, "--offline", "--ask", "Am I moving?", "--out", "out"])
    (folder / "LLM").symlink_to(default_model() / "llm")  # its words are those of the answers
    return folder


MMLLM = (sys.executable, "-m", "mmllm_ros")


def run(folder: Path, command: list[str], typed: str = "") -> str:
    done = subprocess.run(command, cwd=folder, input=typed, capture_output=True, text=True, timeout=900, env=os.environ)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def robot(workplace) -> Iterator[Path]:
    """A drive that goes on in a second process, under the names that the documents use."""
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


def shortened(command: str) -> str:
    for long, short in SHORTER.items():
        command = command.replace(long, short)
    return command


@pytest.mark.slow
@pytest.mark.parametrize("command", [line for line in COMMANDS if not NEEDS_A_ROBOT.match(line)])
def test_a_command_runs(workplace, command) -> None:
    if command in LEFT_OUT or command.startswith("pip install"):
        pytest.skip(LEFT_OUT.get(command, INSTALL))
    if command.startswith("ros2 ") and not shutil.which("ros2"):
        pytest.skip("ROS 2 came as wheels, which have no ros2 command")
    folder = ROOT if IN_THE_CHECKOUT.match(command) else workplace
    if command.startswith("make "):
        command += " -n"
    function = f'mmllm() {{ {shlex.join(MMLLM)} "$@"; }}'
    run(folder, ["bash", "-euc", f"{function}\n{shortened(command)}"])


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
        response = ros.call(kind, words[3], kind.Request(**yaml.safe_load(words[5])))
        assert response.success, response.message
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


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for _, kind, block in BLOCKS if kind == "python"])
def test_a_python_block_runs(workplace, block) -> None:
    run(workplace, [sys.executable, "-c", block])


def test_what_is_left_out_is_still_in_the_documents() -> None:
    assert set(LEFT_OUT) <= set(COMMANDS) and all(any(long in line for line in COMMANDS) for long in list(SHORTER)[:1])
    assert len(COMMANDS) > 25
