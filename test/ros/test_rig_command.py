# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm rig --from-topics` against live topics."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, PointCloud2
from sensors import cloud, image

from mmllm_ros.datatypes import BadInput
from mmllm_ros.io.rig_description import TRANSFORMS, Observed
from mmllm_ros.nodes.ros_support import rig_probe
from mmllm_ros.rig import CLUSTERS, load_rig


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
    assert (rig.lidar.topic, rig.lidar.encoder) == ("/car/velodyne_points", CLUSTERS) and rig.imu is None
    reason = "tf2_msgs is not installed" if find_spec("tf2_msgs") is None else "nobody publishes /tf_static"
    assert reason in done.stderr


def test_a_node_waits_for_the_sensors_of_its_robot_and_takes_the_mounts_that_a_file_gives(ros, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(rig_probe, "SETTLED", 0.5)
    monkeypatch.setattr(rig_probe, "REPEATED", 0.2)
    for topic, make in (("car/front/image_raw", image()), ("car/velodyne_points", cloud)):
        publisher = ros.tester.create_publisher(type(make()), topic, 5)
        ros.tester.create_timer(0.05, lambda publisher=publisher, make=make: publisher.publish(make()))
    said = []
    monkeypatch.setattr(type(ros.tester.get_logger()), "info", lambda self, text, **_: said.append(text))

    def later() -> None:
        if any("CameraInfo on /car/front/camera_info" in line for line in said):
            info_publisher.publish(info())

    info_publisher = ros.tester.create_publisher(CameraInfo, "car/front/camera_info", 5)
    ros.tester.create_timer(0.05, later)
    path = tmp_path / "mounts.yaml"
    path.write_text("auto: true\ncameras: {front: {bearing: 30}}\nlidar: {axes: [+y, -x, +z]}\n")
    rig = load_rig(rig_probe.rig_file(ros.tester, str(path)))
    assert said[0].startswith("rig auto waits for ") and rig.lidar.axes == ("+y", "-x", "+z")
    assert rig.camera("front").calibration.lens == "equidistant" and rig.lidar.topic == "/car/velodyne_points"
    if find_spec("tf2_msgs") is None:
        with pytest.raises(BadInput, match=r"a transform from .* and tf2_msgs is not installed: write a rig file"):
            rig_probe.rig_file(ros.tester, "auto")


def test_a_node_waits_for_the_transforms_of_its_robot(ros, tmp_path, monkeypatch):
    """The wheels have no tf2_msgs: a single TransformStamped stands in for a TFMessage."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(rig_probe, "SETTLED", 0.5)
    monkeypatch.setattr(rig_probe, "REPEATED", 0.2)
    monkeypatch.setattr(rig_probe, "SIMULATOR", ros.tester.get_name())
    real, take = rig_probe.message_class, Observed.add_transforms
    monkeypatch.setattr(rig_probe, "message_class", lambda name: TransformStamped if name == TRANSFORMS else real(name))
    monkeypatch.setattr(Observed, "add_transforms", lambda self, one: take(self, SimpleNamespace(transforms=[one])))
    clouds = ros.tester.create_publisher(PointCloud2, "scan", 5)
    ros.tester.create_timer(0.05, lambda: clouds.publish(cloud()))
    said = []
    monkeypatch.setattr(type(ros.tester.get_logger()), "info", lambda self, text, **_: said.append(text))
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    static, frame = ros.tester.create_publisher(TransformStamped, "/tf_static", latched), cloud().header.frame_id
    mount = TransformStamped(child_frame_id=frame)
    mount.header.frame_id = "base_link"
    mount.transform.translation.z = 1.25

    def later() -> None:
        if any(f"a transform from {frame} to base_link" in line for line in said):
            static.publish(mount)

    ros.tester.create_timer(0.1, later)
    rig = load_rig(rig_probe.rig_file(ros.tester, "auto"))
    assert rig.lidar.position == (0.0, 0.0, 1.25) and rig.lidar.topic == "/scan"
    assert rig.lidar.encoder == ""  # the node that publishes it goes by the name of the simulator
