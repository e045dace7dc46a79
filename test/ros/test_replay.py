# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag over DDS: every message, in order, when it was due, with the QoS it was recorded with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu, PointCloud2

from mmllm_ros.datatypes import NANOSECONDS, BadInput, CameraFrame, ImuWindow, LidarScan
from mmllm_ros.nodes.recorded_topics import message_class, offered_profile
from mmllm_ros.nodes.replay import Replay
from mmllm_ros.recording import Recorder
from mmllm_ros.rig import load_rig

START = 1_700_000_000 * NANOSECONDS
MATCHING = QoSProfile(depth=500)
"""The recorded publishers offer a depth of 10, so a test on a busy machine must not play much faster than it was recorded."""


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Two seconds: camera and lidar at 10 Hz, IMU at 50 Hz."""
    path = tmp_path_factory.mktemp("replay") / "bag"
    with Recorder(path, load_rig("front")) as recorder:
        for step in range(20):
            stamp = START + step * NANOSECONDS // 10
            times = stamp + np.arange(5, dtype=np.int64) * 20_000_000
            recorder.write(
                [
                    CameraFrame(stamp, "front", np.full((8, 12, 3), step, np.uint8)),
                    LidarScan(stamp, "lidar", np.ones((10, 4), np.float32)),
                    ImuWindow(int(times[-1]), "imu", times, np.ones((5, 6), np.float32)),
                ]
            )
    return path


def replay(ros, folder, **parameters):
    overrides = [Parameter(name, value=value) for name, value in {"bag": str(folder), **parameters}.items()]
    ended = []
    return ros.add(Replay(on_end=lambda: ended.append(time.monotonic()), parameter_overrides=overrides)), ended


def nanoseconds(stamp: Time) -> int:
    return stamp.sec * NANOSECONDS + stamp.nanosec


def test_every_message_arrives_once_in_order_with_its_stamp(ros, bag):
    images = ros.collect(Image, "camera/front/image_raw", MATCHING)
    clouds = ros.collect(PointCloud2, "lidar/points", MATCHING)
    samples = ros.collect(Imu, "imu/data", MATCHING)
    _, ended = replay(ros, bag)
    ros.until(lambda: ended)
    ros.until(lambda: len(samples) == 100)
    assert [nanoseconds(m.header.stamp) - START for m in images] == [i * NANOSECONDS // 10 for i in range(20)]
    assert [m.data[0] for m in images] == list(range(20))
    assert [nanoseconds(m.header.stamp) - START for m in samples] == [i * NANOSECONDS // 50 for i in range(100)]
    assert len(clouds) == 20


def test_messages_come_when_they_are_due(ros, bag):
    arrivals = []
    ros.tester.create_subscription(Imu, "imu/data", lambda m: arrivals.append((m.header.stamp, time.monotonic())), MATCHING)
    _, ended = replay(ros, bag, rate=2.0)
    ros.until(lambda: ended)
    recorded = (nanoseconds(arrivals[-1][0]) - nanoseconds(arrivals[0][0])) / NANOSECONDS / 2.0
    # A busy machine may take longer; to be through much sooner would be a burst that nobody recorded.
    assert arrivals[-1][1] - arrivals[0][1] > 0.8 * recorded


def test_the_clock_follows_the_bag_and_is_never_behind_the_messages(ros, bag):
    heard = []
    clock_qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
    ros.tester.create_subscription(Clock, "/clock", lambda m: heard.append(nanoseconds(m.clock) - START), clock_qos)
    ros.collect(Imu, "imu/data", MATCHING)
    _, ended = replay(ros, bag, rate=2.0)
    ros.until(lambda: ended)
    assert heard == sorted(heard)
    # best effort: some may be missing, at both ends too
    assert heard[0] < 0.5e9 and 1.5e9 < heard[-1] <= 1.98e9
    assert len(heard) > 20


def test_a_loop_jumps_the_clock_back_and_plays_everything_again(ros, bag):
    samples = ros.collect(Imu, "imu/data", MATCHING)
    clocks = ros.collect(Clock, "/clock", QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT))
    _, ended = replay(ros, bag, rate=4.0, loop=True, topics="imu/data")
    ros.until(lambda: len(samples) > 250)
    assert not ended
    stamps = [nanoseconds(m.header.stamp) - START for m in samples]
    (first, *_) = np.flatnonzero(np.diff(stamps) < 0) + 1
    # every sample once before the jump back, and again from the first one after it
    assert stamps[:first] == [i * NANOSECONDS // 50 for i in range(100)]
    assert stamps[first : first + 50] == [i * NANOSECONDS // 50 for i in range(50)]
    assert min(np.diff([nanoseconds(m.clock) for m in clocks])) < -NANOSECONDS


def test_start_and_topics_leave_out_what_was_not_asked_for(ros, bag):
    images = ros.collect(Image, "camera/front/image_raw", MATCHING)
    clouds = ros.collect(PointCloud2, "lidar/points", MATCHING)
    node, ended = replay(ros, bag, start=1.05, topics="/lidar/points", rate=5.0)
    ros.until(lambda: ended)
    ros.until(lambda: len(clouds) == 9)  # 1.1 to 1.9 s
    assert not images
    assert [name for name, _ in node.get_publisher_names_and_types_by_node("replay", "/") if "camera" in name] == []


def test_a_namespace_takes_the_recorded_topics_along(ros, bag):
    samples = ros.collect(Imu, "/robot2/imu/data", MATCHING)
    overrides = [Parameter("bag", value=str(bag))]
    ros.add(Replay(parameter_overrides=overrides, namespace="robot2"))
    ros.until(lambda: len(samples) == 100)


FOREVER = QosTime(9223372036, 854775807)


def offered(reliability, durability=QosDurability.VOLATILE, depth=7):
    history = (QosHistory.KEEP_LAST, depth, reliability, durability)
    return Qos(*history, FOREVER, FOREVER, QosLiveliness.AUTOMATIC, FOREVER, False)


def test_the_recorded_qos_is_offered_again(ros, tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    profiles = {
        "/best": offered(QosReliability.BEST_EFFORT),
        "/latched": offered(QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, depth=1),
    }
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        text = store.serialize_cdr(store.types["std_msgs/msg/String"](data="x"), "std_msgs/msg/String")
        for name, profile in profiles.items():
            connection = writer.add_connection(name, "std_msgs/msg/String", typestore=store, offered_qos_profiles=[profile])
            writer.write(connection, START, text)
        odd = writer.add_connection("/odd", "odd_msgs/msg/Odd", msgdef="int8 x\n", rihs01="RIHS01_00")
        writer.write(odd, START, b"\0\1\0\0\1")
    node, ended = replay(ros, tmp_path / "bag")
    ros.until(lambda: ended)
    best, latched = (node.get_publishers_info_by_topic(name)[0].qos_profile for name in profiles)
    assert best.reliability == ReliabilityPolicy.BEST_EFFORT and best.durability == DurabilityPolicy.VOLATILE
    assert latched.reliability == ReliabilityPolicy.RELIABLE and latched.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert not node.get_publishers_info_by_topic("/odd")  # nobody here knows its type


def test_publishers_that_offered_different_qos_become_one_that_serves_both():
    merged = offered_profile([offered(QosReliability.BEST_EFFORT), offered(QosReliability.RELIABLE, depth=20)])
    assert merged.reliability == ReliabilityPolicy.RELIABLE and merged.depth == 20
    unknown = offered_profile([offered(QosReliability.UNKNOWN)])
    assert unknown.reliability == ReliabilityPolicy.SYSTEM_DEFAULT


@pytest.mark.parametrize("name", ["odd_msgs/msg/Odd", "os/msg/path", "sensor_msgs/msg/Nothing", "../msg/X", "sensor_msgs/srv/X"])
def test_a_type_that_is_not_installed_is_no_class(name):
    assert message_class(name) is None


def test_an_installed_type_is_its_class():
    assert message_class("sensor_msgs/msg/Imu") is Imu


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"bag": ""}, "bag is ''"),
        ({"bag": "nowhere"}, "nowhere does not exist"),
        ({"topics": "/sonar"}, "no topic '/sonar'"),
        ({"start": 60.0}, "start 60.0 s lies behind the end"),
    ],
)
def test_bad_parameters_are_refused_at_the_door(ros, bag, parameters, line):
    with pytest.raises(BadInput, match=line):
        replay(ros, bag, **parameters)


def run_node(*parameters):
    command = [sys.executable, "-m", "mmllm_ros.nodes.replay", "--ros-args"]
    command += [word for parameter in parameters for word in ("-p", parameter)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


def test_the_process_ends_by_itself_with_status_0(bag):
    process = run_node(f"bag:={bag}", "rate:=10.0")
    _, errors = process.communicate(timeout=40)
    assert process.returncode == 0, errors


def test_a_missing_bag_ends_the_process_with_one_line_and_status_2():
    process = run_node("bag:=nowhere")
    _, errors = process.communicate(timeout=40)
    assert process.returncode == 2
    assert errors.strip() == "recording nowhere does not exist"


def test_ctrl_c_ends_a_looping_process_with_status_0(ros, bag):
    samples = ros.collect(Imu, "imu/data", qos_profile_sensor_data)
    process = run_node(f"bag:={bag}", "loop:=true")
    ros.until(lambda: samples, 30.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
