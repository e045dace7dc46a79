# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`rig:=auto`: what a robot still lacks, and the rig with single values overridden."""

from __future__ import annotations

from types import SimpleNamespace as Fields

import numpy as np
import pytest

from mmllm_ros.datatypes import BadInput, CameraFrame, LidarScan
from mmllm_ros.io.rig_description import CLOUD, IMAGES, Observed
from mmllm_ros.io.robot_rig import chosen_topics, kept_rig, missing, rig_of_recording
from mmllm_ros.io.rosbag import Recorder
from mmllm_ros.launch_setup import kept_path, processes, waits_for_rig
from mmllm_ros.rig import load_rig, rig_overrides

LEVEL = Fields(x=0.0, y=0.0, z=0.0, w=1.0)
INFO = Fields(
    header=Fields(frame_id="optical"),
    width=80,
    height=40,
    distortion_model="plumb_bob",
    d=[],
    k=[40.0, 0, 40, 0, 40, 20, 0, 0, 1],
    p=[],
)


def robot() -> Observed:
    return Observed({"/cam/image_raw": IMAGES[0], "/velodyne": CLOUD, "/velodyne_copy": CLOUD}, frames={"/velodyne": "top"})


def mounted(seen: Observed, frame: str, height: float) -> Observed:
    place = Fields(translation=Fields(x=0.0, y=0.0, z=height), rotation=LEVEL)
    seen.add_transforms(Fields(transforms=[Fields(header=Fields(frame_id="base_link"), child_frame_id=frame, transform=place)]))
    return seen


def test_what_is_missing_is_named_until_camera_info_and_transforms_have_arrived():
    seen = robot()
    assert missing(Observed({}), {}) == ["a topic with images, a point cloud, an IMU or detected objects"]
    assert missing(seen, {}) == ["CameraInfo on /cam/camera_info", "a transform from top to base_link"]
    seen.infos["/cam/camera_info"] = INFO
    mounted(seen, "top", 1.7)
    assert missing(seen, {}) == ["a transform from optical to base_link"]
    assert missing(mounted(seen, "optical", 1.0), {}) == []


def test_a_yaml_file_overrides_single_values_and_what_it_gives_is_not_waited_for(tmp_path):
    path = tmp_path / "over.yaml"
    path.write_text("auto: true\ncameras: {cam: {fov: 90, bearing: 30}}\nlidar: {topic: velodyne_copy, axes: [+y, -x, +z]}\n")
    overrides = rig_overrides(path)
    seen = robot()
    assert missing(seen, overrides) == [] and chosen_topics(seen.topics, overrides).lidar == "/velodyne_copy"
    rig = load_rig(kept_rig(seen, overrides, tmp_path / "kept" / "auto.yaml"))
    assert rig.camera("cam").topic == "/cam/image_raw" and np.degrees(rig.camera("cam").bearing) == pytest.approx(30)
    assert rig.lidar.topic == "velodyne_copy" and rig.lidar.axes == ("+y", "-x", "+z")
    with pytest.raises(BadInput, match="fov is 900"):
        kept_rig(seen, {"cameras": {"cam": {"fov": 900}}}, tmp_path / "bad.yaml")
    assert not (tmp_path / "bad.yaml").exists()


def test_auto_is_no_rig_of_the_simulator_or_of_an_offline_command(tmp_path):
    arguments = {"rig": "auto", "source": "simulator", "model": "drive_tiny", "device": "cpu", "bag": "", "loop": "false"}
    with pytest.raises(BadInput, match="running robot"):
        processes(arguments | {"use_sim_time": "auto"})
    assert waits_for_rig(arguments | {"source": "robot"}) and not waits_for_rig(arguments)
    path = tmp_path / "odd.yaml"
    path.write_text("auto: maybe\n")
    with pytest.raises(BadInput, match="not true or false"):
        load_rig(path)


def test_the_launch_of_a_recording_reads_its_rig_and_says_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "source.yaml"
    source.write_text("cameras: {left: {bearing: 60, position: [1.2, 0.4, 1.5]}}\nlidar: {position: [0.1, 0.0, 2.0]}\n")
    with Recorder(tmp_path / "bag", load_rig(source)) as recorder:
        recorder.write(
            [CameraFrame(1, "left", np.zeros((48, 64, 3), np.uint8)), LidarScan(1, "lidar", np.ones((60, 4), np.float32))]
        )
    rig = load_rig(rig_of_recording("auto", tmp_path / "bag"))
    assert rig.lidar.position == pytest.approx((0.1, 0.0, 2.0)) and rig.camera("left").calibration.size == (64, 48)
    arguments = {"rig": "auto", "source": "bag", "bag": str(tmp_path / "bag"), "model": "drive_tiny", "device": "cpu"}
    started = processes(
        arguments | {"loop": "false", "use_sim_time": "auto", "composed": "false", "namespace": "", "log_level": "info"}
    )
    assert {"camera_encoder", "lidar_encoder"} <= {one.executable for one in started} and "imu_encoder" not in str(started)
    assert {one.parameters["rig"] for one in started} == {str(tmp_path / "cache/mmllm_ros/rigs/bag/auto.yaml")}
    over = tmp_path / "over.yaml"
    over.write_text("auto: true\nimu: {topic: /imu}\n")
    with pytest.raises(BadInput, match="lacks messages on /imu"):
        rig_of_recording(over, tmp_path / "bag")
    assert kept_path("/robot1").parts[-2:] == ("robot1", "auto.yaml")
