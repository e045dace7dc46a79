# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm rig`: the rig file from topics, CameraInfo and transforms."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace as Fields

import numpy as np
import pytest

from mmllm_ros.cli import main
from mmllm_ros.datatypes import BadInput, CameraFrame, ImuWindow, LidarScan
from mmllm_ros.io.rig_description import CLOUD, IMAGES, IMU, Observed, choose_topics, rig_text
from mmllm_ros.io.rosbag import Recorder, Recording
from mmllm_ros.rig import CLUSTERS, ObjectsMount, load_rig


def written(tmp_path, text):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    return load_rig(path)


def test_the_rig_of_a_recording_is_the_one_that_it_was_made_with(tmp_path, capsys):
    source = tmp_path / "source.yaml"
    source.write_text(
        "cameras:\n  left: {bearing: 60, pitch: 8, fov: 80, position: [1.2, 0.4, 1.5]}\n"
        "  rear: {topic: /usb/rear/image, bearing: 180}\n"
        "lidar: {topic: /velodyne_points, axes: [+y, -x, +z], position: [0.1, 0.0, 2.0]}\nimu: {axes: [+x, -y, -z]}\n"
    )
    rig = load_rig(source)
    with Recorder(tmp_path / "bag", rig) as recorder:
        images = [CameraFrame(1, name, np.zeros((48, 64, 3), np.uint8)) for name in ("left", "rear")]
        window = ImuWindow(3, "imu", np.array([2, 3]), np.zeros((2, 6), np.float32))
        recorder.write([*images, LidarScan(1, "lidar", np.ones((60, 4), np.float32)), window])
    assert main(["rig", str(tmp_path / "bag")]) == 0
    printed = capsys.readouterr()
    read = written(tmp_path, printed.out)
    for name in ("left", "rear"):
        ours, made = rig.camera(name), read.camera(name)
        assert (made.bearing, made.pitch, made.fov) == pytest.approx((ours.bearing, ours.pitch, ours.fov), abs=2e-3)
        assert made.position == pytest.approx(ours.position) and made.topic == f"/{ours.topic.strip('/')}"
        assert made.calibration.size == (64, 48)
    assert read.lidar.axes == rig.lidar.axes and read.lidar.position == rig.lidar.position and read.imu.axes == rig.imu.axes
    assert not printed.err
    stack = dataclasses.replace(read, objects=ObjectsMount())
    assert len(list(Recording(tmp_path / "bag").frames(stack))) == len(list(Recording(tmp_path / "bag").frames(read))) == 3


def test_the_lidar_of_a_simulated_recording_keeps_the_encoder_of_the_model(tmp_path, capsys):
    assert main(["simulate", "--out", str(tmp_path / "drive"), "--frames", "1", "--rig", "front"]) == 0
    (recording,) = tmp_path.glob("drive/*/recording")
    capsys.readouterr()
    assert main(["rig", str(recording)]) == 0
    assert written(tmp_path, capsys.readouterr().out).lidar.encoder == ""
    # Away from the file of its scenes it is a recording like any other.
    assert main(["rig", str(recording.rename(tmp_path / "alone"))]) == 0
    assert written(tmp_path, capsys.readouterr().out).lidar.encoder == CLUSTERS


def transform(child, parent, yaw=0.0, place=(0.0, 0.0, 0.0)):
    turn = Fields(x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2))
    shift = Fields(x=place[0], y=place[1], z=place[2])
    header = Fields(frame_id=parent)
    return Fields(header=header, child_frame_id=child, transform=Fields(translation=shift, rotation=turn))


def test_transforms_are_chained_through_the_frames_between(tmp_path):
    seen = Observed({"/scan": CLOUD}, frames={"/scan": "lidar"})
    chain = [
        transform("mast", "base_link", math.pi / 2, (1.0, 0.0, 0.0)),
        transform("lidar", "mast", math.pi / 2, (1.0, 0.0, 2.0)),
    ]
    seen.add_transforms(Fields(transforms=[transform("base_link", "base_footprint", 0.0, (0.0, 0.0, 0.3)), *chain]))
    # The mast stands 1 m ahead and is turned to the left, so what is 1 m ahead of it lies to the left of the base.
    lidar = written(tmp_path, rig_text(seen)).lidar
    assert lidar.position == pytest.approx((1.0, 1.0, 2.0)) and lidar.axes == ("-x", "-y", "+z")


def test_a_cycle_of_transforms_ends():
    seen = Observed({"/scan": CLOUD}, frames={"/scan": "a"})
    seen.add_transforms(Fields(transforms=[transform("a", "b"), transform("b", "a")]))
    assert "no transform connects its frame a with base_link" in rig_text(seen)


def test_what_is_not_known_is_a_comment_that_says_why(tmp_path):
    text = rig_text(Observed({"/cam/image_raw": IMAGES[0], "/imu": IMU}, transforms="tf2_msgs is not installed"))
    rig = written(tmp_path, text)
    assert rig.lidar is None and rig.camera("cam").bearing == 0.0
    assert (
        "nobody publishes /cam/camera_info" in text
        and text.count("tf2_msgs is not installed") == 1
        and "no message of it" in text
    )


def test_of_several_topics_of_a_sensor_the_plainest_is_taken():
    topics = dict.fromkeys(("/a/left/image_raw", "/a/left/image_rect", "/b/left/image_raw", "/a/depth/image"), IMAGES[0])
    topics |= {"/b/left/image_raw/compressed": IMAGES[1], "/only/image_raw/compressed": IMAGES[1], "/mmllm/overlay": IMAGES[0]}
    topics |= dict.fromkeys(("/ground_points", "/velodyne_points", "/mmllm/points"), CLOUD)
    topics |= dict.fromkeys(("/imu/data_raw", "/imu/data"), IMU)
    topics |= dict.fromkeys(("/mmllm/markers", "/path_markers", "/tracked_objects"), "visualization_msgs/msg/MarkerArray")
    chosen = choose_topics(topics)
    expected = {"a_left": "/a/left/image_rect", "b_left": "/b/left/image_raw", "only": "/only/image_raw/compressed"}
    assert chosen.cameras == expected
    assert (chosen.lidar, chosen.imu, chosen.objects) == ("/velodyne_points", "/imu/data", "/tracked_objects")


def test_a_robot_without_a_sensor_is_refused_with_its_topics(capsys):
    with pytest.raises(BadInput, match=r"topics are: /chatter \(std_msgs/msg/String\)"):
        rig_text(Observed({"/chatter": "std_msgs/msg/String"}))
    assert main(["rig"]) == 2 and "--from-topics" in capsys.readouterr().err
