# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The encoder nodes over DDS: their lifecycle, and tokens with the sensor's header."""

from __future__ import annotations

import shutil
import signal
import threading

import pytest
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from harness import PATIENCE, process
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mmllm_ros.msg import SensorHealth, SensorTokens
from mmllm_ros.srv import Encode
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from sensor_msgs.msg import Imu
from sensors import Sensor, cloud, compressed, image, imu, stamp, start, status_of

from mmllm_ros.nodes.camera_encoder import CameraEncoderNode
from mmllm_ros.nodes.imu_encoder import ImuEncoderNode
from mmllm_ros.nodes.lidar_encoder import LidarEncoderNode


@pytest.mark.parametrize(
    ("node_class", "topic", "make", "source", "frame_id"),
    [
        (CameraEncoderNode, "camera/front/image_raw", image(), "front", "front_optical"),
        (LidarEncoderNode, "lidar/points", cloud, "lidar", "velodyne"),
        (ImuEncoderNode, "imu/data", imu, "imu", "imu_link"),
    ],
)
def test_tokens_carry_the_header_of_the_sensor(ros, tiny_model, node_class, topic, make, source, frame_id):
    node = start(ros, node_class, tiny_model, "configure", "activate")
    tokens = ros.collect(SensorTokens, "mmllm/tokens")
    sensor = Sensor(ros, topic, make)
    ros.until(lambda: len(tokens) >= 3)
    sensor.stop()
    assert {message.source for message in tokens} == {source}
    assert {message.modality for message in tokens} == {node.modality}
    assert {message.header.frame_id for message in tokens} == {frame_id}
    assert {stamp(message) for message in tokens} <= set(sensor.stamps)
    assert all(message.count * message.width == len(message.values) for message in tokens)


def test_the_first_frame_after_activation_is_encoded_at_once_even_if_encoding_was_due_before(ros, tiny_model):
    node = start(ros, ImuEncoderNode, tiny_model, "configure")
    node.encode_rate_share = 1e-6  # the next encoding after the first is due a day later
    tokens, health = ros.collect(SensorTokens, "mmllm/tokens"), ros.collect(SensorHealth, "mmllm/health")
    assert ros.transit(node, "activate")
    count = len(health)
    ros.until(lambda: len(health) > count + 2)
    assert not tokens
    Sensor(ros, "imu/data", imu, period=0.02)
    ros.until(lambda: tokens)
    count = len(health)
    ros.until(lambda: len(health) > count + 5)
    assert len(tokens) == 1


@pytest.mark.parametrize("threads", [1, 3])
def test_frames_are_encoded_in_as_many_threads_as_the_node_was_given(ros, tiny_model, monkeypatch, threads):
    node, found = start(ros, ImuEncoderNode, tiny_model, "configure", threads=threads), []
    encoder = node._worker.encoder
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda pairs: (found.append(torch.get_num_threads()), encode(pairs))[1])
    Sensor(ros, "imu/data", imu, period=0.02)
    assert ros.transit(node, "activate")
    ros.until(lambda: found)
    assert set(found) == {threads}


def test_six_cameras_are_encoded_as_six_sources(ros, tiny_model):
    start(ros, CameraEncoderNode, tiny_model, "configure", "activate", rig="nuscenes")
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
    assert ros.transit(node, "configure", "activate")
    tokens = ros.collect(SensorTokens, "mmllm/tokens")
    Sensor(ros, "car/camera/compressed", compressed)
    ros.until(lambda: tokens)


def test_a_topic_is_read_by_the_type_that_its_publisher_has_now_whatever_its_name_is(ros, tiny_model):
    start(ros, CameraEncoderNode, tiny_model, "configure", "activate")
    tokens, diagnostics = ros.collect(SensorTokens, "mmllm/tokens"), ros.collect(DiagnosticArray, "/diagnostics")

    def message() -> str:
        status = status_of(diagnostics, "camera_encoder: front")
        return status.message if status and status.level == DiagnosticStatus.ERROR else ""

    ros.until(lambda: message().startswith("nobody publishes /camera/front/image_raw: "))
    other = ros.tester.create_publisher(Imu, "camera/front/image_raw", 1)
    ros.until(lambda: "is sensor_msgs/msg/Imu, not sensor_msgs/msg/Image or sensor_msgs/msg/CompressedImage" in message())
    ros.tester.destroy_publisher(other)
    # The rig says image_raw; only image_raw/compressed is published, later image_raw itself, as CompressedImage.
    beside = Sensor(ros, "camera/front/image_raw/compressed", compressed)
    ros.until(lambda: tokens)
    beside.stop()
    count = len(tokens)
    Sensor(ros, "camera/front/image_raw", compressed)
    ros.until(lambda: len(tokens) > count + 2)


def test_cleanup_frees_the_weights_and_the_node_can_be_configured_again(ros, tiny_model):
    node = start(ros, ImuEncoderNode, tiny_model, "configure", "activate")
    health, tokens = ros.collect(SensorHealth, "mmllm/health"), ros.collect(SensorTokens, "mmllm/tokens")
    Sensor(ros, "imu/data", imu, period=0.02)
    ros.until(lambda: tokens)
    assert ros.transit(node, "deactivate", "cleanup")
    assert node._worker is None and node._sources[0].monitor.newest is None
    assert "imu worker" not in {thread.name for thread in threading.enumerate()}
    assert ros.transit(node, "configure")
    before = len(health)
    ros.until(lambda: len(health) > before + 2 and health[-1].healthy)


def test_a_transition_that_its_state_does_not_have_is_refused_and_the_node_goes_on(ros, tiny_model):
    start(ros, ImuEncoderNode, tiny_model)
    deactivate, nonsense, configure = Transition.TRANSITION_DEACTIVATE, 99, Transition.TRANSITION_CONFIGURE
    for transition, goes_well in ((deactivate, False), (nonsense, False), (configure, True)):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert ros.call(ChangeState, "imu_encoder/change_state", request).success == goes_well


def test_a_destroyed_node_is_gone_from_the_graph(ros, tiny_model):
    node = ImuEncoderNode(parameter_overrides=[Parameter("model", value=str(tiny_model))])
    ros.until(lambda: "imu_encoder" in ros.tester.get_node_names())
    node.destroy_node()
    ros.until(lambda: "imu_encoder" not in ros.tester.get_node_names())


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
def test_configure_fails_with_one_line_that_names_the_fault_and_the_node_stays_usable(ros, tiny_model, tmp_path, capfd, harm):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    word = harm(model)
    node = start(ros, CameraEncoderNode, model)
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    assert not ros.transit(node, "configure")
    # What is on the console: /rosout loses a node's first lines where one of the same name has just gone.
    logged = capfd.readouterr().err
    assert [line for line in logged.splitlines() if "not configured" in line and word in line]
    assert "Traceback" not in logged
    ros.until(lambda: (s := status_of(diagnostics, "camera_encoder: encoder")) and s.level == DiagnosticStatus.ERROR)
    assert word in status_of(diagnostics, "camera_encoder: encoder").message
    for folder in ("encoders", "config.json"):
        shutil.rmtree(model / folder) if (model / folder).is_dir() else (model / folder).unlink()
    shutil.copytree(tiny_model, model, dirs_exist_ok=True)
    assert ros.transit(node, "configure")
    assert node._worker is not None


def test_rates_can_change_while_running_and_a_bad_one_is_refused(ros, tiny_model):
    node = start(ros, LidarEncoderNode, tiny_model, "configure", health_rate=0.1)
    health = ros.collect(SensorHealth, "mmllm/health")
    ros.until(lambda: health or node._worker._health_timer._last > 0)
    results: list[SetParametersResult] = node.set_parameters(
        [Parameter("health_rate", value=20.0), Parameter("rate", value=-1.0)]
    )
    assert [result.successful for result in results] == [True, False]
    count = len(health)
    ros.until(lambda: len(health) > count + 5)


@pytest.mark.parametrize("timeout", [-1.0, 60.5, float("nan"), float("inf")])
def test_a_request_with_a_timeout_out_of_range_is_refused_by_its_value_and_the_next_one_is_encoded(ros, tiny_model, timeout):
    node = start(ros, ImuEncoderNode, tiny_model, "configure")
    refused = ros.call(Encode, "imu_encoder/encode", Encode.Request(timeout=timeout))
    assert not refused.success and not refused.tokens and not node._worker._requests
    assert refused.message == f"timeout is {timeout} s, not between 0 and 60"
    Sensor(ros, "imu/data", imu, period=0.02)
    ros.until(lambda: ros.call(Encode, "imu_encoder/encode", Encode.Request(timeout=60.0)).success)


def test_ctrl_c_ends_the_process_with_status_zero(ros, tiny_model):
    with process("mmllm_ros.nodes.imu_encoder", "--ros-args", "-p", f"model:={tiny_model}") as running:
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert ros.call(ChangeState, "imu_encoder/change_state", request).success
        running.send_signal(signal.SIGINT)
        errors = running.communicate(timeout=PATIENCE)[1]
    assert running.returncode == 0, errors
    assert "Traceback" not in errors


def test_a_bad_parameter_ends_the_process_with_one_line_and_status_two():
    with process("mmllm_ros.nodes.imu_encoder", "--ros-args", "-p", "rate:=.nan") as running:
        errors = running.communicate(timeout=PATIENCE)[1]
    assert running.returncode == 2
    assert "rate" in errors and len(errors.strip().splitlines()) == 1
