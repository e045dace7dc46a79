# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator as a robot: its topics, stamps, frames, rates and clock, over DDS."""

from __future__ import annotations

import time

import numpy as np
import pytest
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Imu, PointCloud2

from mmllm_ros.datatypes import NANOSECONDS, BadInput
from mmllm_ros.io.frames import stamp_of
from mmllm_ros.nodes.ros_support.messages import frame_from_message, imu_from_message
from mmllm_ros.nodes.simulator import Simulator
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive

MATCHING = QoSProfile(depth=500)


def simulator(ros, **parameters):
    ended = []
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    return ros.add(Simulator(on_end=lambda: ended.append(1), parameter_overrides=overrides)), ended


@pytest.fixture
def drive(ros):
    """Two seconds of a drive, with everything that was received of it."""
    received = {
        "image": ros.collect(Image, "camera/front/image_raw", MATCHING),
        "info": ros.collect(CameraInfo, "camera/front/camera_info", MATCHING),
        "cloud": ros.collect(PointCloud2, "lidar/points", MATCHING),
        "imu": ros.collect(Imu, "imu/data", MATCHING),
        "clock": ros.collect(Clock, "/clock", QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)),
    }
    began = ros.tester.get_clock().now().nanoseconds
    node, ended = simulator(ros, seed=3, context="day", duration=2.0, rate=5.0)
    ros.until(lambda: ended)
    newest = ("image", "info", "cloud")
    ros.until(lambda: all(received[name] and stamp_of(received[name][-1]) == node.truth.stamp for name in newest))
    late = NANOSECONDS // 100
    ros.until(lambda: received["imu"] and received["clock"] and stamp_of(received["imu"][-1]) > node.truth.stamp - late)
    return node, received, began


def test_a_drive_is_heard_on_the_topics_of_the_rig_and_ends_by_itself(drive):
    _, received, began = drive
    # 2 s at 5 Hz, the first and the last moment included, or one less by rounding
    assert len(received["cloud"]) in (10, 11) and len(received["image"]) == len(received["info"]) == len(received["cloud"])
    assert {m.header.frame_id for m in received["image"]} == {"camera_front_optical"}
    assert received["cloud"][0].header.frame_id == "lidar" and received["imu"][0].header.frame_id == "imu_link"
    stamps = [stamp_of(m) for m in received["image"]]
    assert set(np.diff(stamps)) == {NANOSECONDS // 5}
    # fresh also for a listener without /clock
    assert began <= stamps[0] and stamps[-1] <= time.time_ns()


def test_the_imu_comes_at_100_hz_without_gaps(drive):
    _, received, _ = drive
    stamps = [stamp_of(m) for m in received["imu"]]
    assert set(np.diff(stamps)) == {NANOSECONDS // 100}
    _, sample = imu_from_message(received["imu"][-1], load_rig("front").imu)
    assert 5.0 < sample[2] < 15.0


def test_the_messages_say_what_the_drive_with_that_seed_senses(drive):
    node, received, _ = drive
    rig = load_rig("front")
    snapshot = Drive(3, rig, "day").capture()
    frame = frame_from_message(received["image"][0], "front", rig.cameras[0])
    np.testing.assert_array_equal(frame.image, snapshot.cameras[0].image)
    scan = frame_from_message(received["cloud"][0], "lidar", rig.lidar)
    np.testing.assert_allclose(scan.points, snapshot.lidar.points, atol=1e-5)
    assert node.truth.scene == snapshot.truth.scene
    assert node.truth.stamp == stamp_of(received["image"][-1])


def test_the_camera_info_states_the_field_of_view_of_the_rig(drive):
    info = drive[1]["info"][0]
    # half the width over the focal length is the tangent of half the angle
    assert 2 * np.degrees(np.arctan(info.width / 2 / info.k[0])) == pytest.approx(70.0)


def test_the_clock_runs_with_the_stamps(drive):
    node, received, began = drive
    assert "/clock" in {publisher.topic_name for publisher in node.publishers}
    clocks = [m.clock.sec * NANOSECONDS + m.clock.nanosec for m in received["clock"]]
    assert clocks == sorted(clocks)
    assert all(began <= clock <= stamp_of(received["image"][-1]) for clock in clocks)


def test_a_simulator_told_to_leaves_the_clock_alone(ros):
    clouds = ros.collect(PointCloud2, "lidar/points", MATCHING)
    node, _ = simulator(ros, clock=False, duration=0.0)
    ros.until(lambda: clouds)
    # asked of the node, not of the graph, which can still hold a simulator of the test before
    assert "/clock" not in {publisher.topic_name for publisher in node.publishers}


@pytest.mark.parametrize(("name", "value"), [("rig", "no_such_rig"), ("context", "blizzard"), ("rate", 0.0)])
def test_a_bad_parameter_is_refused_by_name(ros, name, value):
    with pytest.raises(BadInput, match=name):
        simulator(ros, **{name: value})
