# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every command and every Python block of the documents, run as a reader would run them, in a folder with what they name.

Long commands run with the smaller numbers of SHORTER. Left out are those of LEFT_OUT, with the reason, and `ros2` where
ROS 2 came as wheels. test_documents_beside_robot.py runs those that talk to a running robot.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from documents import BLOCKS, COMMANDS, MMLLM, NEEDS_A_ROBOT, ROOT, fill, run

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
        (line for line in COMMANDS if re.search("config/train/universal|benchmark/universal|out/models/universal", line)),
        "takes an hour; test/unit/test_universal_training.py and test_signal_plan.py train and evaluate a small one",
    ),
    **dict.fromkeys(
        (line for line in COMMANDS if "qwen" in line), "needs a model hub; test/unit/test_larger_models.py has tiny ones"
    ),
    **dict.fromkeys(
        (line for line in COMMANDS if line.startswith("mmllm modality ")),
        "needs a model with a universal encoder; test/unit/test_packs.py does all of this with a small one",
    ),
    "ros2 launch mmllm_ros drive.launch.py source:=robot rig:=$PWD/my_robot.yaml model:=MODEL": "no sensors and no MODEL here",
    **dict.fromkeys(
        (
            "python -m mmllm_ros.nodes.universal_encoder --ros-args -p rig:=my_robot.yaml -p model:=MODEL",
            "mmllm drive --rig signals --model MODEL",
        ),
        "needs a model with a universal encoder; test/ros/test_universal_encoder_node.py runs the node with a small one",
    ),
    'mmllm replay street.wav --offline --model MODEL --ask "Do you hear a siren?"': "test/unit/test_signal_messages.py does it",
    'mmllm replay BAG --rig my_robot.yaml --offline --model MODEL --ask "How far is the wall behind?"': "needs MODEL, as above",
    **dict.fromkeys((line for line in COMMANDS if "--source robot" in line), "no sensors here, see test/ros/test_drive.py"),
    "mmllm mcp --http --port 8765": "it serves until Ctrl-C; test/ros/test_mcp.py asks it",
    "mmllm rig --from-topics > my_robot.yaml": "no sensors here, see test/ros/test_rig_command.py",
    "mmllm evaluate-frames FRAMES --labels": "test/unit/test_evaluate_frames.py runs it on a small folder",
    "mmllm evaluate-frames BAG --boxes /labels --rig my_robot.yaml --labels": "test/unit/test_recorded_boxes.py runs it",
    "mmllm evaluate-frames FRAMES --detector nanodet --calibrate": "needs the detector that `mmllm fetch nanodet` installs",
}
IN_THE_CHECKOUT = re.compile(r"make |\. \./env\.sh|python (-m pytest|benchmark/)")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    return fill(tmp_path_factory.mktemp("workplace"))


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
@pytest.mark.parametrize("block", [block for _, kind, block in BLOCKS if kind == "python"])
def test_a_python_block_runs(workplace, block) -> None:
    run(workplace, [sys.executable, "-c", block])


def test_what_is_left_out_is_still_in_the_documents() -> None:
    assert set(LEFT_OUT) <= set(COMMANDS) and all(any(long in line for line in COMMANDS) for long in list(SHORTER)[:1])
    assert len(COMMANDS) > 25
