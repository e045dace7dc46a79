# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the examples stand on here: a recording of a simulated drive. Yours stand on a recording of your robot."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmllm_ros.io.rosbag import Recorder
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a car that drives all the time, by day."""
    rig = load_rig("front")
    for seed in range(1_000_000_000, 1_000_000_020):
        drive, frames = Drive(seed, rig, "day"), []
        drive.advance(3.0)
        for _ in range(60):
            drive.advance(0.1)
            snapshot = drive.capture()
            frames.append([snapshot.imu, *snapshot.cameras, snapshot.lidar])
            if snapshot.truth.ego.speed < 2.0:
                break
        else:
            path = tmp_path_factory.mktemp("recording") / "bag"
            with Recorder(path, rig) as recorder:
                for moment in frames:
                    recorder.write(moment)
            return path
    raise AssertionError("none of twenty drives moves for six seconds")
