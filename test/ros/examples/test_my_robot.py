# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recording of your robot, played over DDS, held against what you know. Copy this file and change RIG, SENSORS and KNOWN."""

import json
import subprocess
import sys
from pathlib import Path

RIG = "front"  # or Path("my_robot.yaml")
SENSORS = {"camera", "lidar", "imu"}
KNOWN = {"Am I moving?": {"yes"}, "Are there any cars?": {"yes", "no"}}  # question: answers that you would accept


def test_the_recorded_robot_answers_from_all_its_sensors(bag: Path, tmp_path: Path) -> None:  # bag: your rosbag2 folder
    asked = [word for question in KNOWN for word in ("--ask", question)]
    command = [sys.executable, "-m", "mmllm_ros", "replay", bag, "--rig", RIG, *asked, "--json", tmp_path / "answers.jsonl"]
    subprocess.run(list(map(str, command)), check=True, timeout=300)
    for record in map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines()):
        assert record["answer"] in KNOWN[record["question"]], record
        spared = {item["modality"] for item in record["unplugged"] if item["reason"].startswith("not used:")}
        assert {item["modality"] for item in record["evidence"]} | spared == SENSORS, record["unplugged"]
        assert all(abs(item["age"]) < 1.5 for item in record["evidence"]), record["evidence"]
