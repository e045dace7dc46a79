# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The encoder nodes over DDS: tokens with the sensor's header, health always, every failure said aloud and survived."""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
import sys
import time
import types

import cv2
import numpy as np
import pytest
import rclpy.executors
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mmllm_ros.msg import SensorHealth, SensorTokens
from rcl_interfaces.msg import Log, SetParametersResult
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2, PointField

from mmllm_ros.datatypes import NANOSECONDS
from mmllm_ros.nodes.camera_encoder import CameraEncoderNode
from mmllm_ros.nodes.imu_encoder import ImuEncoderNode
from mmllm_ros.nodes.lidar_encoder import LidarEncoderNode
from mmllm_ros.nodes.newest import NewestSubscription

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
ROSOUT = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
rng = np.random.default_rng(0)


def start(ros, node_class, model, *transitions, **parameters):
    """A spinning node after `transitions`, all of which must go well."""
    values = {"model": str(model), "device": "cpu", "rate": 10.0, "health_rate": 10.0, **parameters}
    node = ros.add(node_class(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]))
    for transition in transitions:
        assert ros.change_state(node.get_name(), transition)
    return node


class Sensor:
    """Publishes messages made by `make` with ascending stamps, in the background, until stopped."""

    def __init__(self, ros, topic, make, period=0.05, qos=5, first=None) -> None:
        self._ros = ros
        self._publisher = ros.publisher(type(make()), topic, qos)
        self._make = make
        self.stamps: list[int] = []
        self._stamp = first
        self._stopped = False
        self._timer = ros.tester.create_timer(period, self.publish)
        self._period = period

    def publish(self) -> None:
        if self._stopped:
            return
        now = time.time_ns() if self._stamp is None else self._stamp
        if self._stamp is not None:
            self._stamp += round(self._period * NANOSECONDS)
        message = self._make()
        message.header.stamp = Time(sec=now // NANOSECONDS, nanosec=now % NANOSECONDS)
        self.stamps.append(now)
        self._publisher.publish(message)

    def stop(self) -> None:
        # Not timer.cancel(): the executor may be about to call it, and then raises.
        self._stopped = True

    def go_back(self, seconds: float) -> None:
        self._stamp -= round(seconds * NANOSECONDS)


def image(frame_id="front_optical", encoding="rgb8"):
    def make() -> Image:
        pixels = rng.integers(0, 256, (40, 80, 3), dtype=np.uint8)
        message = Image(height=40, width=80, encoding=encoding, step=240, data=pixels.tobytes())
        message.header.frame_id = frame_id
        return message

    return make


def compressed() -> CompressedImage:
    file = cv2.imencode(".jpg", rng.integers(0, 256, (40, 80, 3), dtype=np.uint8))[1]
    return CompressedImage(format="jpeg", data=file.tobytes())


def cloud() -> PointCloud2:
    points = rng.uniform(5, 40, (500, 4)).astype(np.float32)
    fields = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate(["x", "y", "z", "intensity"])]
    message = PointCloud2(height=1, width=500, point_step=16, row_step=8000, fields=fields, data=points.tobytes())
    message.header.frame_id = "velodyne"
    return message


def imu() -> Imu:
    message = Imu()
    message.header.frame_id = "imu_link"
    force, rate = rng.normal([0, 0, 9.81], 0.1), rng.normal(0, 0.01, 3)
    message.linear_acceleration.x, message.linear_acceleration.y, message.linear_acceleration.z = force
    message.angular_velocity.x, message.angular_velocity.y, message.angular_velocity.z = rate
    return message


def stamp(message) -> int:
    return message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec


def status_of(diagnostics, name) -> DiagnosticStatus | None:
    statuses = [status for array in diagnostics[-1:] for status in array.status if status.name == name]
    return statuses[0] if statuses else None


def values(status) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


@pytest.mark.parametrize(
    ("node_class", "topic", "make", "source", "frame_id"),
    [
        (CameraEncoderNode, "camera/front/image_raw", image(), "front", "front_optical"),
        (LidarEncoderNode, "lidar/points", cloud, "lidar", "velodyne"),
        (ImuEncoderNode, "imu/data", imu, "imu", "imu_link"),
    ],
)
def test_tokens_carry_the_header_of_the_sensor(ros, tiny_model, node_class, topic, make, source, frame_id):
    node = start(ros, node_class, tiny_model, CONFIGURE, ACTIVATE)
    tokens = ros.collect(SensorTokens, "mmllm/tokens")
    sensor = Sensor(ros, topic, make)
    ros.until(lambda: len(tokens) >= 3)
    sensor.stop()
    assert {message.source for message in tokens} == {source}
    assert {message.modality for message in tokens} == {node.modality}
    assert {message.header.frame_id for message in tokens} == {frame_id}
    assert {stamp(message) for message in tokens} <= set(sensor.stamps)
    assert all(message.count * message.width == len(message.values) for message in tokens)


def test_six_cameras_are_encoded_as_six_sources(ros, tiny_model):
    start(ros, CameraEncoderNode, tiny_model, CONFIGURE, ACTIVATE, rig="nuscenes")
    names = {"front", "front_left", "front_right", "back_left", "back_right", "back"}
    tokens = ros.collect(SensorTokens, "mmllm/tokens")
    sensors = [Sensor(ros, f"camera/{name}/image_raw", image(name)) for name in sorted(names)]
    ros.until(lambda: {message.source for message in tokens} == names)
    assert all(message.header.frame_id == message.source for message in tokens)
    for sensor in sensors:
        sensor.stop()


def test_a_topic_remapped_to_compressed_is_read_as_compressed(ros, tiny_model):
    arguments = ["--ros-args", "-r", "camera/front/image_raw:=car/camera/compressed"]
    overrides = [Parameter("model", value=str(tiny_model))]
    node = ros.add(CameraEncoderNode(cli_args=arguments, parameter_overrides=overrides))
    assert ros.change_state(node.get_name(), CONFIGURE) and ros.change_state(node.get_name(), ACTIVATE)
    tokens = ros.collect(SensorTokens, "mmllm/tokens")
    Sensor(ros, "car/camera/compressed", compressed)
    ros.until(lambda: tokens)


def test_an_inactive_node_publishes_health_but_no_tokens_and_keeps_its_weights(ros, tiny_model):
    node = start(ros, LidarEncoderNode, tiny_model, CONFIGURE)
    tokens, health = ros.collect(SensorTokens, "mmllm/tokens"), ros.collect(SensorHealth, "mmllm/health")
    sensor = Sensor(ros, "lidar/points", cloud, period=0.02)
    ros.until(lambda: health and health[-1].healthy and health[-1].rate and len(sensor.stamps) > 20)
    newest = health[-1]
    assert (newest.modality, newest.source, newest.header.frame_id) == ("lidar", "lidar", "velodyne")
    assert dict(zip(newest.signal_names, newest.signal_values))["points"] == 500
    sent = (len(sensor.stamps) - 1) / (sensor.stamps[-1] - sensor.stamps[0]) * NANOSECONDS
    assert newest.rate == pytest.approx(sent, rel=0.5)  # of what is sent, though only a part of it is read
    assert not tokens
    encoder = node._worker.encoding.encoder
    for _ in range(2):
        assert ros.change_state("lidar_encoder", ACTIVATE)
        before = len(tokens)
        ros.until(lambda: len(tokens) > before)  # noqa: B023
        assert ros.change_state("lidar_encoder", DEACTIVATE)
    assert node._worker.encoding.encoder is encoder
    time.sleep(0.3)
    before = len(tokens), len(health)
    ros.until(lambda: len(health) > before[1] + 3)
    assert len(tokens) == before[0]


def test_cleanup_frees_the_weights_and_the_node_can_be_configured_again(ros, tiny_model):
    node = start(ros, ImuEncoderNode, tiny_model, CONFIGURE, ACTIVATE)
    health, tokens = ros.collect(SensorHealth, "mmllm/health"), ros.collect(SensorTokens, "mmllm/tokens")
    sensor = Sensor(ros, "imu/data", imu, period=0.02)
    ros.until(lambda: tokens)
    assert ros.change_state("imu_encoder", DEACTIVATE) and ros.change_state("imu_encoder", CLEANUP)
    assert node._worker is None
    assert node._sources[0]._newest is None
    time.sleep(0.2)
    before = len(health), len(tokens)
    time.sleep(0.5)
    assert (len(health), len(tokens)) == before
    sensor.stop()
    assert ros.change_state("imu_encoder", CONFIGURE)
    ros.until(lambda: len(health) > before[0])
    assert "nothing has arrived" in health[-1].reason


def missing(model) -> str:
    (model / "encoders" / "camera" / "model.safetensors").unlink()
    return "model.safetensors"


def truncated(model) -> str:
    path = model / "encoders" / "camera" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return "model.safetensors"


def other_revision(model) -> str:
    path = model / "encoders" / "camera" / "config.json"
    path.write_text(path.read_text() + " ")
    return "revision"


@pytest.mark.parametrize("harm", [missing, truncated, other_revision])
def test_configure_fails_loudly_with_a_traceback_and_the_node_stays_usable(ros, tiny_model, tmp_path, capfd, harm):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    word = harm(model)
    node = start(ros, CameraEncoderNode, model)
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    assert not ros.change_state("camera_encoder", CONFIGURE)
    # What is on the console: /rosout loses a node's first lines where one of the same name has just gone.
    logged = capfd.readouterr().err
    assert all(part in logged for part in ("not configured", "Traceback", "BadInput", word))
    ros.until(lambda: (s := status_of(diagnostics, "camera_encoder: encoder")) and s.level == DiagnosticStatus.ERROR)
    assert word in status_of(diagnostics, "camera_encoder: encoder").message
    for folder in ("encoders", "config.json"):
        shutil.rmtree(model / folder) if (model / folder).is_dir() else (model / folder).unlink()
    shutil.copytree(tiny_model, model, dirs_exist_ok=True)
    assert ros.change_state("camera_encoder", CONFIGURE)
    assert node._worker is not None


def test_a_bad_image_is_refused_counted_and_named_and_the_next_good_one_counts(ros, tiny_model):
    start(ros, CameraEncoderNode, tiny_model, CONFIGURE, ACTIVATE, stale_after=0.3)
    log, health = ros.collect(Log, "/rosout", ROSOUT), ros.collect(SensorHealth, "mmllm/health")
    diagnostics, tokens = ros.collect(DiagnosticArray, "/diagnostics"), ros.collect(SensorTokens, "mmllm/tokens")
    bad = Sensor(ros, "camera/front/image_raw", image(encoding="h264"))
    ros.until(lambda: health and health[-1].rejected >= 3 and "'h264'" in health[-1].reason)
    ros.until(lambda: (s := status_of(diagnostics, "camera_encoder: front")) and int(values(s)["rejected"]) >= 3)
    assert "'h264'" in values(status_of(diagnostics, "camera_encoder: front"))["last refusal"]
    bad.stop()
    lines = [entry.msg for entry in log if "h264" in entry.msg]
    assert len(lines) == 1 and "\n" not in lines[0] and "/camera/front/image_raw" in lines[0]
    assert not tokens
    Sensor(ros, "camera/front/image_raw", image())
    ros.until(lambda: tokens and health[-1].healthy)
    ros.until(lambda: status_of(diagnostics, "camera_encoder: front").level == DiagnosticStatus.OK)
    assert status_of(diagnostics, "camera_encoder: front").hardware_id == "front_optical"


def test_a_zero_stamp_is_refused(ros, tiny_model):
    start(ros, LidarEncoderNode, tiny_model, CONFIGURE)
    health = ros.collect(SensorHealth, "mmllm/health")
    publisher = ros.publisher(PointCloud2, "lidar/points")
    ros.until(lambda: publisher.publish(cloud()) or (health and health[-1].rejected))
    assert health[-1].header.stamp == Time()


def test_a_sensor_that_falls_silent_is_unhealthy(ros, tiny_model):
    start(ros, LidarEncoderNode, tiny_model, CONFIGURE, stale_after=0.3)
    health = ros.collect(SensorHealth, "mmllm/health")
    sensor = Sensor(ros, "lidar/points", cloud)
    ros.until(lambda: health and health[-1].healthy)
    sensor.stop()
    ros.until(lambda: health[-1].reason == "silent for more than 0.3 s")
    assert health[-1].rate == 0.0 and health[-1].age > 0.3


def test_what_is_passed_over_is_counted(ros, tiny_model):
    node = start(ros, LidarEncoderNode, tiny_model, CONFIGURE, health_rate=2.0)
    sensor = Sensor(ros, "lidar/points", cloud, period=0.02)
    ros.until(lambda: node._worker.sources[0].counts()["passed over"] >= 20)
    sensor.stop()
    counts = node._worker.sources[0].counts()
    assert counts["taken"] + counts["passed over"] <= len(sensor.stamps)
    assert counts["publishers"] == 1


def test_a_publisher_with_other_qos_is_an_error_with_the_fix(ros, tiny_model):
    topic = "/lidar/points"
    start(ros, LidarEncoderNode, tiny_model, CONFIGURE, **{f"qos_overrides.{topic}.subscription.reliability": "reliable"})
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
    node = start(ros, LidarEncoderNode, tiny_model, CONFIGURE, ACTIVATE)
    tokens = ros.collect(SensorTokens, "mmllm/tokens")
    sensor = Sensor(ros, "lidar/points", cloud, first=1000 * NANOSECONDS)
    ros.until(lambda: len(tokens) > 8)
    history = node._worker.sources[0]._history._frames
    assert len(history) > 3
    sensor.go_back(100.0)
    ros.until(lambda: tokens and stamp(tokens[-1]) < 950 * NANOSECONDS)
    assert all(frame.stamp < 950 * NANOSECONDS for frame in list(history))


def test_a_jump_back_of_the_clock_forgets_everything(ros, tiny_model):
    node = start(ros, ImuEncoderNode, tiny_model, CONFIGURE, use_sim_time=True)
    clock = ros.publisher(Clock, "/clock")
    health = ros.collect(SensorHealth, "mmllm/health")
    seconds = itertools.count(1000)
    ros.until(lambda: clock.publish(Clock(clock=Time(sec=next(seconds)))) or node.get_clock().now().nanoseconds > 10**12)
    first = node.get_clock().now().nanoseconds
    sensor = Sensor(ros, "imu/data", imu, first=first, period=0.02)
    ros.until(lambda: health and len(health[-1].signal_names))
    sensor.stop()
    ros.until(lambda: clock.publish(Clock(clock=Time(sec=10))) or not health[-1].signal_names)
    assert health[-1].reason == "nothing has arrived yet"


def test_rates_can_change_while_running_and_a_bad_one_is_refused(ros, tiny_model):
    node = start(ros, LidarEncoderNode, tiny_model, CONFIGURE, health_rate=0.1)
    health = ros.collect(SensorHealth, "mmllm/health")
    ros.until(lambda: health or node._worker._health_beat._last > 0)
    results: list[SetParametersResult] = node.set_parameters(
        [Parameter("health_rate", value=20.0), Parameter("rate", value=-1.0)]
    )
    assert [result.successful for result in results] == [True, False]
    count = len(health)
    ros.until(lambda: len(health) > count + 5, timeout=3.0)


def test_ctrl_c_ends_the_process_with_status_zero(ros, tiny_model):
    command = [sys.executable, "-m", "mmllm_ros.nodes.imu_encoder", "--ros-args", "-p", f"model:={tiny_model}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        client = ros.tester.create_client(ChangeState, "imu_encoder/change_state")
        for transition in (CONFIGURE, ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert ros.ask(client, request, timeout=240.0).success
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60.0)[1]
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_a_bad_parameter_ends_the_process_with_one_line_and_status_two():
    command = [sys.executable, "-m", "mmllm_ros.nodes.imu_encoder", "--ros-args", "-p", "rate:=.nan"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=240.0)
    assert process.returncode == 2
    assert "rate" in process.stderr and len(process.stderr.strip().splitlines()) == 1


def test_a_message_that_nobody_has_taken_does_not_keep_the_executor_turning(ros, monkeypatch):
    waits = []

    class Counted(rclpy.executors._rclpy.WaitSet):
        def wait(self, timeout):
            waits.append(timeout)
            return super().wait(timeout)

    library = rclpy.executors._rclpy
    monkeypatch.setattr(rclpy.executors, "_rclpy", types.SimpleNamespace(**{**vars(library), "WaitSet": Counted}))
    node = rclpy.create_node("untended")
    publisher = node.create_publisher(Image, "untended/image", 1)
    newest = NewestSubscription(node, Image, "untended/image")
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(node)
    try:
        ros.until(lambda: newest.publishers)
        publisher.publish(Image())
        waits.clear()
        executor.spin_once(timeout_sec=0.5)
        # Once or a few times for what discovery still brings; it used to be thousands.
        assert len(waits) < 50
        ros.until(newest.take)
    finally:
        executor.shutdown()
        node.destroy_node()
