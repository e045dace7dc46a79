# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A rerun recording, read back with rerun's own tool: sensor data, plan and answers are in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmllm_ros.cli import app
from mmllm_ros.datatypes import NANOSECONDS, Answer, BadInput, Evidence, Health, Plan
from mmllm_ros.rig import load_rig
from mmllm_ros.visualization.drawing import AnswerSnapshot
from mmllm_ros.visualization.rerun_file import RerunFile

NOW = 1_700_000_000 * NANOSECONDS
ANSWER = Answer(
    NOW, "q", "Any cars?", "yes", 0.83, (Evidence("camera", "front", NOW, 0.21),), {"lidar": "covered"}, 0.1, "m", "r"
)


def printed(file: Path) -> str:
    """What `rerun rrd print` says of a recording, with every value."""
    command = [sys.executable, "-m", "rerun", "rrd", "print", "-vvv", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def test_a_recording_holds_pictures_points_plan_answers_figures_and_the_layout(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed here")
    file = RerunFile(tmp_path / "new" / "drive.rrd", load_rig("front"))
    plan = Plan(NOW, {"camera": True, "lidar": False}, {"camera": "healthy", "lidar": "covered by dirt"}, "night, moving", 0)
    points = np.float32([[10, 0, 0, 0.5], [-10, 0, 0, 0.5]])
    image = np.full((40, 80, 3), 200, np.uint8)
    for second in range(3):
        now = NOW + second * NANOSECONDS
        file.add_sensor_data({"front": image + second}, points + second, now)
        file.plan(plan, now)
        file.health(Health("camera", "front", now, 10.0, 0.1, 0.0, 0, {}, True), now)
        file.health(Health("lidar", "lidar", now, 0.0, 9.0, 0.0, 0, {}, False, "silent"), now)
    file.answer(ANSWER, now)
    file.add_truth(ANSWER, "no", now)
    file.close()
    text = printed(tmp_path / "new" / "drive.rrd")
    for path in (
        "/robot/camera/front", "/robot/lidar", "/plan/camera", "/plan/lidar", "/plan/context", "/sensors/camera/front",
        "/sensors/lidar", "/log/answers", "/log/plan", "/answer", "/figures/answers/confidence", "/figures/latency/answer_ms",
        "/figures/answers/share_right", "/figures/rate/camera/front",
    ):  # fmt: skip
        assert path in text, path
    for part in ("covered by dirt", "night, moving", "unplugged", "silent", "wrong, the truth is no", "Any cars?"):
        assert part in text, part
    for archetype in ("Pinhole", "Transform3D", "EncodedImage", "Points3D", "StateChange", "Scalars", "TextDocument"):
        assert archetype in text, archetype
    assert "lidar coloured by the cameras" in text and "plugged modalities" in text, "the layout lies in the file"


def test_an_answer_of_an_offline_replay_is_logged_at_the_time_of_its_question(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed here")
    file = RerunFile(tmp_path / "offline.rrd", load_rig("front"))
    file.add_snapshot(AnswerSnapshot({"front": np.zeros((8, 8, 3), np.uint8)}, None, ANSWER, "yes"))
    file.close()
    text = printed(tmp_path / "offline.rrd")
    # 0.21 s after the reading of 2023-11-14 22:13:20.
    assert "22:13:20.21" in text and "right" in text


def test_without_rerun_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(BadInput, match="pip install 'rerun-sdk"):
        RerunFile(tmp_path / "drive.rrd", load_rig("front"))


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is not installed here")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="file"):
        RerunFile(tmp_path / "file" / "drive.rrd", load_rig("front"))


@pytest.mark.parametrize("command", ["drive", "replay"])
def test_the_commands_offer_it(command):
    assert "--rerun" in CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
