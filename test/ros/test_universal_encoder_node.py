# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes of the universal encoder over DDS, with random weights: signals of several kinds, their health, plan and evidence."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from mmllm_ros.msg import ModalityPlan, SensorHealth, SensorTokens
from mmllm_ros.srv import Ask
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from sensors import status_of, values
from signal_table import make_signal_table
from std_msgs.msg import Float32MultiArray, UInt8MultiArray
from tiny_universal_model import make_tiny_universal_model

from mmllm_ros.context.plan_table import FILE
from mmllm_ros.datatypes import NANOSECONDS
from mmllm_ros.io.sound import encode_pcm
from mmllm_ros.nodes.context_monitor import ContextMonitor
from mmllm_ros.nodes.llm import Llm
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.universal_encoder import make_nodes, signal_encoders
from mmllm_ros.rig import load_rig

RIG = """
signals:
  roof: {kind: audio, topic: audio, channels: 4}
  front_depth: {kind: depth, topic: front/depth, fov: 70}
  front_normals: {kind: normals, topic: front/depth, fov: 70}
  bumper: {kind: array, topic: bumper/echoes, channels: 8}
"""
MODALITIES = {"audio", "depth", "normals", "array"}
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def universal(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with random connectors for the signals of a rig, and the rig's file."""
    folder = tmp_path_factory.mktemp("universal")
    (folder / "robot.yaml").write_text(RIG)
    make_tiny_universal_model(folder / "model", tiny_model, MODALITIES)
    return folder / "model", folder / "robot.yaml"


class Robot:
    """Publishes sound, depth and echoes ten times a second; `loud` scales the sound."""

    def __init__(self, ros) -> None:
        self.loud = 0.1
        self._sound = ros.tester.create_publisher(UInt8MultiArray, "audio", 10)
        self._depth = ros.tester.create_publisher(Image, "front/depth", 5)
        self._echoes = ros.tester.create_publisher(Float32MultiArray, "bumper/echoes", 5)
        ros.tester.create_timer(0.1, self._publish)

    def _publish(self) -> None:
        self._sound.publish(UInt8MultiArray(data=encode_pcm(self.loud * rng.standard_normal((4, 1600)))))
        now = time.time_ns()
        image = Image(height=24, width=32, encoding="16UC1", step=64, data=rng.integers(4000, 4100, 768, np.uint16).tobytes())
        image.header.stamp = Time(sec=now // NANOSECONDS, nanosec=now % NANOSECONDS)
        image.header.frame_id = "depth_optical"
        self._depth.publish(image)
        self._echoes.publish(Float32MultiArray(data=rng.random(8 * 128).tolist()))


def start(ros, model: Path, rig: Path) -> list:
    settings = {"model": str(model), "rig": str(rig), "device": "cpu", "rate": 5.0, "health_rate": 5.0, "stale_after": 10.0}
    parameters = [Parameter(name, value=value) for name, value in settings.items()]
    nodes = [ros.add(make(parameter_overrides=parameters)) for make in signal_encoders(load_rig(rig))]
    assert all(ros.transit(node, "configure", "activate") for node in nodes)
    return nodes


def test_signals_are_encoded_by_one_set_of_weights_and_answers_name_them_as_evidence(ros, universal):
    model, rig = universal
    nodes = start(ros, model, rig)
    assert len({id(node._worker.encoder._packs) for node in nodes}) == 1
    tokens = ros.collect(SensorTokens, "mmllm/tokens", 50)
    Robot(ros)
    settings = {"model": str(model), "device": "cpu", "rig": str(rig), "max_age": 60.0, "timeout": 600.0}
    llm = ros.add(Llm(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()]))
    ros.until(lambda: {message.modality for message in tokens} == MODALITIES and llm.worker.assistant)
    assert {message.source for message in tokens} == {"roof", "front_depth", "front_normals", "bumper"}
    assert {message.count for message in tokens} == {4}
    frames = {message.modality: message.header.frame_id for message in tokens}
    assert frames["depth"] == frames["normals"] == "depth_optical"
    ros.until(lambda: len(llm.worker.assistant._newest) == 4)
    answer = ros.call(Ask, "mmllm/ask", Ask.Request(question="is there a siren ?")).answer
    assert {item.modality for item in answer.evidence} == MODALITIES


def test_a_muted_microphone_is_unplugged_with_its_reason_and_the_others_stay(ros, universal):
    model, rig = universal
    start(ros, model, rig)
    robot, diagnostics = Robot(ros), ros.collect(DiagnosticArray, "/diagnostics")
    health = ros.collect(SensorHealth, "mmllm/health", 50)
    ros.add(ContextMonitor(parameter_overrides=[Parameter("rig", value=str(rig)), Parameter("model", value=str(model))]))
    plans = ros.collect(ModalityPlan, "mmllm/plan", qos.LATCHED)

    def plugged() -> set[str]:
        return {m for m, on in zip(plans[-1].modalities, plans[-1].plugged, strict=True) if on} if plans else set()

    ros.until(lambda: plugged() == MODALITIES)
    assert all(message.healthy for message in health[-4:])
    robot.loud = 0.0
    ros.until(lambda: plugged() == MODALITIES - {"audio"})
    reasons = dict(zip(plans[-1].modalities, plans[-1].reasons, strict=True))
    assert "silent, is the microphone muted" in reasons["audio"]
    status = ros.until(lambda: status_of(diagnostics, "audio_encoder: roof"))
    assert values(status)["topic"] == "/audio"


def test_a_question_is_answered_from_the_signals_that_the_plan_table_chooses_and_the_others_have_a_reason(
    ros, universal, tmp_path
):
    model, rig = Path(shutil.copytree(universal[0], tmp_path / "model", symlinks=True)), universal[1]
    make_signal_table(audio=0.9, normals=0.9).write(model / FILE)
    start(ros, model, rig)
    Robot(ros)
    common = {"model": str(model), "rig": str(rig)}
    ros.add(ContextMonitor(parameter_overrides=[Parameter(name, value=value) for name, value in common.items()]))
    settings = common | {"device": "cpu", "max_age": 60.0, "timeout": 600.0, "encode_timeout": 60.0}
    llm = ros.add(Llm(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()]))
    plans = ros.collect(ModalityPlan, "mmllm/plan", qos.LATCHED)
    ros.until(lambda: llm.worker.assistant and plans and set(plans[-1].available) == MODALITIES)
    # A sixth of the usual questions needs the normals, so they are encoded when a question does.
    assert {m for m, on in zip(plans[-1].modalities, plans[-1].plugged, strict=True) if on} == {"array", "audio"}
    for question, needed in (("Do you hear a siren?", {"audio"}), ("Is the ground ahead level or rising?", {"normals"})):
        answer = ros.call(Ask, "mmllm/ask", Ask.Request(question=question)).answer
        assert {item.modality for item in answer.evidence} == needed
        reasons = dict(zip(answer.unplugged, answer.reasons, strict=True))
        assert all(reasons[name].startswith("not used: ") for name in MODALITIES - needed)


PARAMETERS = """
/**/universal_encoder: {ros__parameters: {rig: RIG, device: cpu, threads: 2, rate: 4.0}}
/**/audio_encoder: {ros__parameters: {rate: 1.0}}
"""


def test_the_parameters_of_the_executable_are_those_of_its_nodes_unless_they_have_their_own(tmp_path):
    rig, parameters = tmp_path / "robot.yaml", tmp_path / "parameters.yaml"
    rig.write_text(RIG)
    parameters.write_text(PARAMETERS.replace("RIG", str(rig)))
    rclpy.init(args=["--ros-args", "--params-file", str(parameters)])
    try:
        nodes = {node.modality: node for node in make_nodes()}
        assert set(nodes) == MODALITIES
        assert {(node.config.device, node.config.threads) for node in nodes.values()} == {("cpu", 2)}
        assert {modality: node.config.rate for modality, node in nodes.items()} == dict.fromkeys(MODALITIES, 4.0) | {"audio": 1.0}
        for node in nodes.values():
            node.destroy_node()
    finally:
        rclpy.try_shutdown()


def test_messages_that_cannot_be_used_are_counted_with_the_reason(ros, universal):
    start(ros, *universal)
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    sound = ros.publisher(UInt8MultiArray, "audio")
    sound.publish(UInt8MultiArray(data=bytes(7)))  # no whole number of samples of four channels of two bytes
    status = ros.until(lambda: (s := status_of(diagnostics, "audio_encoder: roof")) and int(values(s)["rejected"]) and s)
    assert "audio message of 7 bytes is no whole number of samples" in values(status)["last rejection"]
