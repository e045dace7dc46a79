# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm rig --from-topics` against live topics."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from sensor_msgs.msg import CameraInfo
from sensors import cloud, image

from mmllm_ros.rig import load_rig


def info() -> CameraInfo:
    k = [250.0, 0.0, 40.0, 0.0, 250.0, 20.0, 0.0, 0.0, 1.0]
    message = CameraInfo(width=80, height=40, distortion_model="equidistant", d=[0.01, 0.0, 0.0, 0.0], k=k)
    message.header.frame_id = "front_optical"
    return message


def test_the_topics_of_a_running_robot_become_a_rig_file(ros, tmp_path):
    for topic, make in (("car/front/image_raw", image()), ("car/front/camera_info", info), ("car/velodyne_points", cloud)):
        publisher = ros.tester.create_publisher(type(make()), topic, 5)
        ros.tester.create_timer(0.05, lambda publisher=publisher, make=make: publisher.publish(make()))
    done = subprocess.run(
        [sys.executable, "-m", "mmllm_ros", "rig", "--from-topics", "--listen", "8"], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path / "robot.yaml"
    path.write_text(done.stdout)
    rig = load_rig(path)
    front = rig.camera("front")
    assert (front.topic, front.calibration.lens, front.calibration.focal) == (
        "/car/front/image_raw",
        "equidistant",
        (250.0, 250.0),
    )
    assert rig.lidar.topic == "/car/velodyne_points" and rig.imu is None
    reason = "tf2_msgs is not installed" if find_spec("tf2_msgs") is None else "nobody publishes /tf_static"
    assert reason in done.stderr
