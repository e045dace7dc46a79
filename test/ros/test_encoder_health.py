# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Health published by the encoder nodes, plugged or not: bad messages, missing messages, a time that jumps back."""

from __future__ import annotations

import itertools
import time

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mmllm_ros.msg import SensorHealth, SensorTokens
from rcl_interfaces.msg import Log
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, PointCloud2
from sensors import Sensor, cloud, image, imu, stamp, start, status_of, values

from mmllm_ros.datatypes import NANOSECONDS
from mmllm_ros.nodes.camera_encoder import CameraEncoderNode
from mmllm_ros.nodes.encoding import sensor_source
from mmllm_ros.nodes.imu_encoder import ImuEncoderNode
from mmllm_ros.nodes.lidar_encoder import LidarEncoderNode

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
ROSOUT = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_an_inactive_node_publishes_health_but_no_tokens_and_keeps_its_weights(ros, tiny_model):
    node = start(ros, LidarEncoderNode, tiny_model, "configure", stale_after=60.0)
    tokens, health = ros.collect(SensorTokens, "mmllm/tokens"), ros.collect(SensorHealth, "mmllm/health")
    # Whole periods, in an hour that the node takes for fresh: what it makes of the rate does not hang on the machine.
    Sensor(ros, "lidar/points", cloud, period=0.02, first=time.time_ns())
    ros.until(lambda: health and health[-1].healthy and health[-1].rate)
    newest = health[-1]
    assert (newest.modality, newest.source, newest.header.frame_id) == ("lidar", "lidar", "velodyne")
    assert dict(zip(newest.signal_names, newest.signal_values))["points"] == 500
    assert newest.rate == pytest.approx(50.0, rel=0.1)  # of what is sent, though only a part of it is read
    assert not tokens
    encoder = node._worker.encoder
    for _ in range(2):
        assert ros.transit(node, "activate")
        before = node._worker.encoded
        ros.until(lambda: node._worker.encoded > before)  # noqa: B023
        assert ros.transit(node, "deactivate")
    ros.until(lambda: tokens)
    assert node._worker.encoder is encoder

    def measure_again() -> None:
        count = len(health)
        ros.until(lambda: len(health) > count + 2)

    measure_again()  # what was being encoded is through
    before = node._worker.encoded
    measure_again()
    assert node._worker.encoded == before


def test_a_bad_image_is_refused_counted_and_named_and_the_next_good_one_counts(ros, tiny_model):
    start(ros, CameraEncoderNode, tiny_model, "configure", "activate", stale_after=0.3)
    log, health = ros.collect(Log, "/rosout", ROSOUT), ros.collect(SensorHealth, "mmllm/health")
    diagnostics, tokens = ros.collect(DiagnosticArray, "/diagnostics"), ros.collect(SensorTokens, "mmllm/tokens")
    bad = Sensor(ros, "camera/front/image_raw", image(encoding="h264"))
    ros.until(lambda: health and health[-1].rejected >= 3 and "'h264'" in health[-1].reason)
    ros.until(lambda: (s := status_of(diagnostics, "camera_encoder: front")) and int(values(s)["rejected"]) >= 3)
    assert "'h264'" in values(status_of(diagnostics, "camera_encoder: front"))["last rejection"]
    lines = ros.until(lambda: [entry for entry in log if "h264" in entry.msg])
    bad.stop()
    assert all("\n" not in line.msg and "/camera/front/image_raw" in line.msg for line in lines)
    assert len(lines) - 1 <= (lines[-1].stamp.sec - lines[0].stamp.sec) / 4.0  # seldom: every five seconds
    assert not tokens
    Sensor(ros, "camera/front/image_raw", image())
    ros.until(lambda: tokens and health[-1].healthy)
    ros.until(lambda: status_of(diagnostics, "camera_encoder: front").level == DiagnosticStatus.OK)
    assert status_of(diagnostics, "camera_encoder: front").hardware_id == "front_optical"


def test_a_zero_stamp_is_refused(ros, tiny_model):
    start(ros, LidarEncoderNode, tiny_model, "configure")
    health = ros.collect(SensorHealth, "mmllm/health")
    publisher = ros.publisher(PointCloud2, "lidar/points")
    ros.until(lambda: publisher.publish(cloud()) or (health and health[-1].rejected))
    assert health[-1].header.stamp == Time()


def test_a_sensor_that_falls_silent_is_unhealthy(ros, tiny_model):
    start(ros, LidarEncoderNode, tiny_model, "configure", stale_after=0.3)
    health = ros.collect(SensorHealth, "mmllm/health")
    sensor = Sensor(ros, "lidar/points", cloud)
    ros.until(lambda: health and health[-1].healthy)
    sensor.stop()
    ros.until(lambda: health[-1].reason == "no data for more than 0.3 s")
    assert health[-1].rate == 0.0 and health[-1].age > 0.3


def test_skipped_messages_are_counted(ros, tiny_model):
    node = start(ros, LidarEncoderNode, tiny_model, "configure", health_rate=2.0)
    sensor = Sensor(ros, "lidar/points", cloud, period=0.02)
    ros.until(lambda: node._worker.sources[0].counts()["skipped"] >= 20)
    sensor.stop()
    counts = node._worker.sources[0].counts()
    assert counts["taken"] + counts["skipped"] <= len(sensor.stamps)
    assert node._worker.sources[0].topic.publishers == 1


def test_a_publisher_with_other_qos_is_an_error_with_the_fix(ros, tiny_model):
    topic = "/lidar/points"
    start(ros, LidarEncoderNode, tiny_model, "configure", **{f"qos_overrides.{topic}.subscription.reliability": "reliable"})
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    ros.tester.create_publisher(PointCloud2, topic, BEST_EFFORT)
    ros.until(
        lambda: (
            (s := status_of(diagnostics, "lidar_encoder: lidar")) and s.level == DiagnosticStatus.ERROR and "set qos" in s.message
        )
    )
    assert (
        f"set qos_overrides.{topic}.subscription.reliability to best_effort"
        in status_of(diagnostics, "lidar_encoder: lidar").message
    )


def test_a_jump_back_of_the_stamps_starts_afresh_and_goes_on(ros, tiny_model):
    node = start(ros, LidarEncoderNode, tiny_model, "configure", "activate")
    tokens = ros.collect(SensorTokens, "mmllm/tokens")
    sensor = Sensor(ros, "lidar/points", cloud, first=1000 * NANOSECONDS)
    ros.until(lambda: len(tokens) > 8)
    history = node._worker.sources[0].monitor._history._frames
    assert history
    sensor.go_back(100.0)
    ros.until(lambda: tokens and stamp(tokens[-1]) < 950 * NANOSECONDS)
    assert all(frame.stamp < 950 * NANOSECONDS for frame in list(history))


def test_a_jump_back_of_the_clock_forgets_everything(ros, tiny_model):
    node = start(ros, ImuEncoderNode, tiny_model, "configure", use_sim_time=True)
    clock = ros.publisher(Clock, "/clock")
    health = ros.collect(SensorHealth, "mmllm/health")
    seconds = itertools.count(1000)
    ros.until(lambda: clock.publish(Clock(clock=Time(sec=next(seconds)))) or node.get_clock().now().nanoseconds > 10**12)
    first = node.get_clock().now().nanoseconds
    sensor = Sensor(ros, "imu/data", imu, first=first, period=0.02)
    ros.until(lambda: health and len(health[-1].signal_names))
    sensor.stop()
    ros.until(lambda: node._sources[0].monitor.newest.stamp == sensor.stamps[-1])  # nothing is on its way any more
    ros.until(lambda: clock.publish(Clock(clock=Time(sec=10))) or not health[-1].signal_names)
    assert health[-1].reason == "no data has arrived yet"


def test_a_publisher_that_is_not_heard_is_reported_with_the_cure(ros, tiny_model, monkeypatch):
    monkeypatch.setattr(sensor_source, "UNHEARD", 0.0)
    start(ros, ImuEncoderNode, tiny_model, "configure")
    health = ros.collect(SensorHealth, "mmllm/health")
    ros.publisher(Imu, "imu/data")
    ros.until(lambda: health and "start this node again" in health[-1].reason)
    assert health[-1].reason.startswith("no data has arrived yet: /")
