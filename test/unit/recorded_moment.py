# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recording of one image and one sweep, and a question about it without ROS."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmllm_ros.cli import main
from mmllm_ros.datatypes import CameraFrame, LidarScan
from mmllm_ros.io.rosbag import Recorder
from mmllm_ros.rig import load_rig


def answers_about_one_moment(folder: Path, entry: str, question: str) -> str:
    """What `mmllm replay --offline --json` writes for a rig with a camera, a lidar and `entry`, a line of the rig file."""
    rig, answers = folder / "robot.yaml", folder / "answers.jsonl"
    rig.write_text(f"cameras: {{front: {{}}}}\nlidar: {{}}\n{entry}\n")
    rng = np.random.default_rng(0)  # a black image or a covered lidar would be unplugged
    points = rng.uniform([-30, -30, -1.5, 0], [30, 30, 2, 1], (2000, 4)).astype(np.float32)
    with Recorder(folder / "bag", load_rig(rig)) as recorder:
        recorder.write([LidarScan(10**9, "lidar", points)])
        recorder.write([CameraFrame(10**9, "front", rng.integers(40, 220, (64, 64, 3), np.uint8))])
    command = ["replay", str(folder / "bag"), "--rig", str(rig), "--model", "drive_tiny", "--offline", "--json", str(answers)]
    assert main([*command, "--ask", question]) == 0
    return answers.read_text()
