# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node behind --rerun, over DDS: sensor data, plans and answers are in the file."""

from __future__ import annotations

import subprocess
import sys

import pytest
from robot_messages import camera_image, publish_answer, scan
from sensor_msgs.msg import Image, PointCloud2

from mmllm_ros.nodes.visualization.rerun_recorder import RerunRecorder
from mmllm_ros.rig import load_rig

pytest.importorskip("rerun", reason="rerun-sdk is not installed here")


def test_a_recording_of_a_live_robot_holds_what_it_sensed_planned_and_said(ros, tmp_path):
    path = tmp_path / "live.rrd"
    node = ros.add(RerunRecorder(str(path), load_rig("front")))
    camera = ros.publisher(Image, "camera/front/image_raw")
    lidar = ros.publisher(PointCloud2, "lidar/points")
    answered, write = [], node._file.answer
    node._file.answer = lambda *arguments: answered.append(write(*arguments))
    stamp = publish_answer(ros)

    def seen() -> bool:
        camera.publish(camera_image(ros))
        lidar.publish(scan(stamp, [(10.0, 0.0, 0.0)]))
        return node._views.scan is not None and "front" in node._views.images

    ros.until(seen)
    ros.until(lambda: node._file._plan and answered and node._file._points is not None)
    node._file.close()
    command = [sys.executable, "-m", "rerun", "rrd", "print", "-vvv", str(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    for name in ("/robot/camera/front", "/robot/lidar", "/plan/camera", "/sensors/lidar", "Any cars?", "fewer than 50 returns"):
        assert name in printed, name
