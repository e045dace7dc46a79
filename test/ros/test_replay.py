# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag over DDS: every message, in order, when it was due, with the QoS it was recorded with."""

from __future__ import annotations

import signal
import threading
import time
from unittest import mock

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from harness import PATIENCE, process
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu, PointCloud2

from mmllm_ros.datatypes import NANOSECONDS, BadInput, CameraFrame, ImuWindow, LidarScan
from mmllm_ros.io.rosbag import Recorder
from mmllm_ros.nodes.replay import Replay
from mmllm_ros.nodes.sources.recorded_topics import message_class, offered_profile
from mmllm_ros.rig import load_rig

START = 1_700_000_000 * NANOSECONDS
EVERYTHING = QoSProfile(history=HistoryPolicy.KEEP_ALL)
CLOCK = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)


FOREVER = QosTime(9223372036, 854775807)


def offered(reliability, durability=QosDurability.VOLATILE, depth=7):
    history = (QosHistory.KEEP_LAST, depth, reliability, durability)
    return Qos(*history, FOREVER, FOREVER, QosLiveliness.AUTOMATIC, FOREVER, False)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Two seconds: camera and lidar at 10 Hz, IMU at 50 Hz. Its publishers offered to keep more than is in it."""
    path = tmp_path_factory.mktemp("replay") / "bag"
    # A publisher that keeps only ten drops what a busy machine has not delivered yet.
    patient = mock.patch("mmllm_ros.io.rosbag._offered", lambda latched: offered(QosReliability.RELIABLE, depth=500))
    with patient, Recorder(path, load_rig("front")) as recorder:
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


def replay(ros, folder, received=(), namespace=None, **parameters):
    """The node, held until it has found a subscription for each topic in `received`; a list with an entry once it has ended."""
    overrides = [Parameter(name, value=value) for name, value in {"bag": str(folder), **parameters}.items()]
    ended, hold = [], threading.Event()
    node = ros.add(Replay(lambda: ended.append(1), hold, parameter_overrides=overrides, namespace=namespace))
    awaited = [publisher for publisher in node.publishers if publisher.topic_name in received]
    assert len(awaited) == len(received)
    ros.until(lambda: all(publisher.get_subscription_count() for publisher in awaited))
    hold.set()
    return node, ended


def nanoseconds(stamp: Time) -> int:
    return stamp.sec * NANOSECONDS + stamp.nanosec


def test_every_message_arrives_once_in_order_with_its_stamp(ros, bag):
    images = ros.collect(Image, "camera/front/image_raw", EVERYTHING)
    clouds = ros.collect(PointCloud2, "lidar/points", EVERYTHING)
    samples = ros.collect(Imu, "imu/data", EVERYTHING)
    _, ended = replay(ros, bag, ["/camera/front/image_raw", "/lidar/points", "/imu/data"])
    ros.until(lambda: ended)
    ros.until(lambda: len(images) >= 20 and len(clouds) >= 20 and len(samples) >= 100)
    assert [nanoseconds(m.header.stamp) - START for m in images] == [i * NANOSECONDS // 10 for i in range(20)]
    assert [m.data[0] for m in images] == list(range(20))
    assert [nanoseconds(m.header.stamp) - START for m in samples] == [i * NANOSECONDS // 50 for i in range(100)]
    assert len(clouds) == 20


def test_no_message_comes_before_it_is_due(ros, bag):
    arrivals = []
    ros.tester.create_subscription(Imu, "imu/data", lambda m: arrivals.append((m.header.stamp, time.monotonic())), EVERYTHING)
    began = time.monotonic()
    replay(ros, bag, ["/imu/data"], rate=2.0)
    ros.until(lambda: len(arrivals) == 100)
    # A busy machine may take longer; to be through sooner would be a burst that was not recorded.
    assert all(arrived - began >= (nanoseconds(stamp) - START) / NANOSECONDS / 2.0 for stamp, arrived in arrivals)


def test_the_clock_follows_the_bag_and_is_never_behind_the_messages(ros, bag):
    clocks, samples = [], []  # (when it was sent, its value)

    def subscribe(kind, topic, received, stamp, qos):
        def note(message, info):
            received.append((info["source_timestamp"], nanoseconds(stamp(message)) - START))

        ros.tester.create_subscription(kind, topic, note, qos)

    subscribe(Clock, "/clock", clocks, lambda m: m.clock, CLOCK)
    subscribe(Imu, "imu/data", samples, lambda m: m.header.stamp, EVERYTHING)
    replay(ros, bag, ["/imu/data"], rate=2.0)
    ros.until(lambda: clocks and len(samples) == 100)
    assert [clock for _, clock in clocks] == sorted(clock for _, clock in clocks)
    assert all(0 <= clock <= samples[-1][1] for _, clock in clocks)
    for sent, stamp in samples:
        assert all(clock <= stamp if at < sent else clock >= stamp for at, clock in clocks if at != sent)


def test_a_recording_that_waits_is_played_when_the_model_and_every_encoder_are_ready(ros, bag):
    samples = ros.collect(Imu, "imu/data", EVERYTHING)
    diagnostics = ros.tester.create_publisher(DiagnosticArray, "/diagnostics", 10)
    replay(ros, bag, ["/imu/data"], wait=3600.0)

    def report(encoder: bytes) -> None:
        levels = {
            "llm: model": DiagnosticStatus.OK,
            "context_monitor: imu encoder": encoder,
            "other/llm: model": DiagnosticStatus.OK,
        }
        statuses = [DiagnosticStatus(name=name, level=level) for name, level in levels.items()]
        diagnostics.publish(DiagnosticArray(status=statuses))

    for _ in range(10):
        report(DiagnosticStatus.WARN)
        time.sleep(0.1)
    assert not samples
    ros.until(lambda: report(DiagnosticStatus.OK) or samples)


def test_a_loop_jumps_the_clock_back_and_plays_everything_again(ros, bag):
    samples = ros.collect(Imu, "imu/data", EVERYTHING)
    clocks = ros.collect(Clock, "/clock", CLOCK)
    _, ended = replay(ros, bag, ["/imu/data"], rate=4.0, loop=True, topics="imu/data")
    ros.until(lambda: len(samples) > 250)
    ros.until(lambda: min(np.diff([nanoseconds(m.clock) for m in clocks]), default=0) < -NANOSECONDS)
    assert not ended
    # every sample in every pass, from the first one on
    stamps = [nanoseconds(m.header.stamp) - START for m in samples]
    assert stamps == [i % 100 * NANOSECONDS // 50 for i in range(len(stamps))]


def test_start_and_topics_leave_out_what_was_not_asked_for(ros, bag):
    images = ros.collect(Image, "camera/front/image_raw", EVERYTHING)
    clouds = ros.collect(PointCloud2, "lidar/points", EVERYTHING)
    node, ended = replay(ros, bag, ["/lidar/points"], start=1.05, topics="/lidar/points", rate=5.0)
    ros.until(lambda: ended and len(clouds) >= 9)
    assert [nanoseconds(m.header.stamp) - START for m in clouds] == [i * NANOSECONDS // 10 for i in range(11, 20)]
    assert not images
    assert not [publisher for publisher in node.publishers if "camera" in publisher.topic_name]


def test_a_namespace_takes_the_recorded_topics_along(ros, bag):
    samples = ros.collect(Imu, "/robot2/imu/data", EVERYTHING)
    replay(ros, bag, ["/robot2/imu/data"], namespace="robot2")
    ros.until(lambda: len(samples) == 100)


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
    node, _ = replay(ros, tmp_path / "bag")
    best, latched = (ros.until(lambda: node.get_publishers_info_by_topic(name))[0].qos_profile for name in profiles)  # noqa: B023
    assert best.reliability == ReliabilityPolicy.BEST_EFFORT and best.durability == DurabilityPolicy.VOLATILE
    assert latched.reliability == ReliabilityPolicy.RELIABLE and latched.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert not [publisher for publisher in node.publishers if publisher.topic_name == "/odd"]  # its type is not installed


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
        ({"start": 60.0}, "start 60.0 s is after the end"),
    ],
)
def test_bad_parameters_are_refused_at_the_door(ros, bag, parameters, line):
    with pytest.raises(BadInput, match=line):
        replay(ros, bag, **parameters)


def replay_process(*parameters):
    return process("mmllm_ros.nodes.replay", "--ros-args", *(word for parameter in parameters for word in ("-p", parameter)))


def test_the_process_ends_by_itself_with_status_0(bag):
    with replay_process(f"bag:={bag}", "rate:=10.0") as running:
        _, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, errors


def test_a_missing_bag_ends_the_process_with_one_line_and_status_2():
    with replay_process("bag:=nowhere") as running:
        _, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode == 2
    assert errors.strip() == "recording nowhere does not exist"


def test_ctrl_c_ends_a_looping_process_with_status_0(ros, bag):
    samples = ros.collect(Imu, "imu/data", qos_profile_sensor_data)
    with replay_process(f"bag:={bag}", "loop:=true") as running:
        ros.until(lambda: samples)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, errors
    assert "Traceback" not in errors
