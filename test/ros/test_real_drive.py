# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real recordings through the whole chain: `mmllm replay` with questions, over DDS. Skipped where they are not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import make_tiny_model

from mmllm_ros.datatypes import CameraFrame, ImuWindow, LidarScan
from mmllm_ros.io.rosbag import Recording
from mmllm_ros.rig import load_rig

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real recordings are not in ../shared/data")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def replay(bag, model, file, *options):
    questions = ["--ask", "Are there any cars?", "--ask", "Am I moving?"]
    command = [sys.executable, "-m", "mmllm_ros", "replay", str(bag), *questions, "--model", str(model), "--json", str(file)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=240, env=os.environ)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--rig", "radiate", "--settings", "half.yaml")])
def test_every_answer_to_the_fog_drive_rests_on_camera_lidar_and_imu(model, tmp_path, options, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half.yaml").write_text("rate: 0.5\n")
    records = replay(DATA / "real_drive", model, tmp_path / "real.jsonl", *options)
    assert len(records) == 2
    recording = Recording(DATA / "real_drive")
    for record in records:
        assert {item["modality"] for item in record["evidence"]} == {"camera", "lidar", "imu"}
        # stamps are the recorded ones, and all three are of the same moment
        assert all(recording.start <= item["stamp"] <= recording.end for item in record["evidence"])
        assert all(abs(item["age"]) < 1.5 for item in record["evidence"])


@pytest.mark.slow
@pytest.mark.parametrize("bag", ["start_position_A", "start_position_B"])
def test_the_sqlite_bags_of_the_parked_car_replay_with_imu_evidence(model, tmp_path, bag):
    for record in replay(DATA / "imu_stationary" / bag, model, tmp_path / "imu.jsonl"):
        assert [item["modality"] for item in record["evidence"]] == ["imu"]


def test_the_fog_drive_reads_as_frames_in_the_axes_of_the_robot():
    frames = list(Recording(DATA / "real_drive").frames(load_rig("radiate")))
    images = [frame for frame in frames if isinstance(frame, CameraFrame)]
    sweeps = [frame for frame in frames if isinstance(frame, LidarScan)]
    windows = [frame for frame in frames if isinstance(frame, ImuWindow)]
    assert len(images) == 50 and len(sweeps) == 42 and len(windows) > 50
    assert images[0].image.shape == (376, 672, 3)
    # most of what an HDL-32E on a roof sees lies around and below it, none of it behind the horizon of its range
    assert all(18_000 < len(sweep.points) < 23_000 and np.abs(sweep.points[:, :3]).max() < 120 for sweep in sweeps)
    # gravity was put back: the mean specific force of a car on a road points up
    force = np.mean([window.samples[:, :3].mean(axis=0) for window in windows], axis=0)
    assert abs(force[2] - 9.8) < 0.5 and np.abs(force[:2]).max() < 1.5


def test_the_parked_cars_feel_gravity_upwards_and_do_not_turn():
    for bag in ("start_position_A", "start_position_B"):
        windows = list(Recording(DATA / "imu_stationary" / bag).frames(load_rig("imu_stationary")))
        samples = np.concatenate([window.samples for window in windows])
        assert abs(samples[:, 2].mean() - 9.8) < 0.3
        assert np.abs(samples[:, 3:].mean(axis=0)).max() < 0.01
