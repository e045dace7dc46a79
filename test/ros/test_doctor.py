# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm doctor` beside a running robot: each fault is found by name and has its cure."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import rclpy
from rclpy.clock import Clock, ClockType
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CompressedImage, Image, Imu
from std_msgs.msg import UInt8MultiArray

from mmllm_ros.nodes.clients.build_info import rmw_name, stale_interfaces
from mmllm_ros.resources import shared_folder


def doctor(tmp_path, model, *options) -> tuple[int, dict[str, dict]]:
    file = tmp_path / "doctor.json"
    command = [sys.executable, "-m", "mmllm_ros", "doctor", "--model", str(model), "--listen", "6", "--json", str(file), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=os.environ)
    assert file.exists(), done.stderr
    findings = json.loads(file.read_text())
    assert all(finding["cure"] for finding in findings if finding["state"] != "ok")
    return done.returncode, {finding["what"]: finding for finding in findings}


def publish(ros, kind, topic, age=0.0, **fields):
    """Ten times a second, stamped `age` seconds ago."""
    publisher = ros.tester.create_publisher(kind, topic, 10)

    def send() -> None:
        message = kind(**fields)
        if hasattr(message, "header"):
            message.header.stamp.sec = int(ros.tester.get_clock().now().nanoseconds * 1e-9 - age)
            message.header.stamp.nanosec = 500_000_000
        publisher.publish(message)

    ros.tester.create_timer(0.1, send, clock=Clock(clock_type=ClockType.STEADY_TIME))


RIG = """
cameras: {front: {}}
lidar: {}
imu: {}
signals:
  roof: {kind: audio, topic: audio}
  ahead: {kind: depth, topic: front/depth}
  slopes: {kind: normals, topic: front/depth}
  bumpers: {kind: array, topic: ultrasonic}
"""


def test_a_wrong_type_an_old_stamp_and_two_clocks_are_faults_and_good_topics_show_their_qos(ros, tiny_model, tmp_path):
    rig = tmp_path / "robot.yaml"
    rig.write_text(RIG)
    image = {"height": 2, "width": 2, "step": 6, "encoding": "rgb8", "data": bytes(12)}
    publish(ros, Image, "camera/front/image_raw", **image)
    publish(ros, Imu, "lidar/points")
    publish(ros, Imu, "imu/data", age=3600.0)
    publish(ros, UInt8MultiArray, "audio", data=bytes(64))
    publish(ros, CompressedImage, "front/depth")
    clocks = [ros.tester.create_publisher(ClockMessage, "/clock", 10) for _ in range(2)]
    status, findings = doctor(tmp_path, tiny_model, "--rig", str(rig))
    assert status == 1 and clocks
    camera = findings["/camera/front/image_raw"]
    assert camera["state"] == "ok" and "sensor_msgs/msg/Image from 1 publisher (reliable, volatile)" in camera["found"]
    assert " Hz, stamped " in camera["found"]
    lidar, imu = findings["/lidar/points"], findings["/imu/data"]
    assert lidar["state"] == "fault" and "rig" in lidar["cure"]
    # half a second either way, by the stamp above
    assert imu["state"] == "fault" and "stamped 3599." in imu["found"].replace("3600.", "3599.") and "chrony" in imu["cure"]
    # At least two: the publisher of a process that an earlier test killed is in the graph until its lease ends.
    count, _, found = findings["clock"]["found"].partition(" ")
    assert findings["clock"]["state"] == "fault" and int(count) >= 2 and found.startswith("nodes publish /clock")
    assert findings["nodes"]["state"] == "note"
    assert findings["messages"]["state"] == findings["model"]["state"] == "ok"
    sound = findings["/audio"]
    assert sound["state"] == "ok" and " Hz, without stamps" in sound["found"]
    # Depth as a compressed image is not read, by either sensor on the topic.
    assert findings["/front/depth"]["state"] == "fault" and "unsupported" in findings["/front/depth"]["cure"]
    assert "no publisher" in findings["ultrasonic"]["found"]
    assert findings["signal roof"]["state"] == "fault" and "pack for audio" in findings["signal roof"]["cure"]


def test_another_robot_is_looked_at_by_its_namespace(ros, tiny_model, tmp_path):
    publish(ros, Imu, "/robot1/imu/data")
    for name, robot in (("imu_encoder", "robot1"), ("llm", "robot2")):
        ros.add(rclpy.create_node(name, namespace=robot))
    _, findings = doctor(tmp_path, tiny_model, "--namespace", "robot1")
    assert findings["/robot1/imu/data"]["state"] == "ok"
    assert "no publisher" in findings["lidar/points"]["found"]
    assert findings["nodes"]["found"] == "imu_encoder"


def test_messages_built_from_other_files_are_stale(tmp_path):
    assert stale_interfaces(shared_folder()) == []
    for kind in ("msg", "srv", "action"):
        shutil.copytree(shared_folder() / kind, tmp_path / kind)
    changed = tmp_path / "msg" / "Evidence.msg"
    changed.write_text(changed.read_text() + "float64 weight  # share of the answer\n")
    (tmp_path / "srv" / "New.srv").write_text("---\nbool success  # done\n")
    assert stale_interfaces(tmp_path) == ["msg/Evidence", "srv/New"]


def test_the_middleware_has_a_name():
    assert rmw_name().startswith("rmw_")
