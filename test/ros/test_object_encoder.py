# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The object_encoder node over DDS: what another perception stack reports answers questions, with the shipped model."""

from __future__ import annotations

import json
import sys
import time
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Point, Pose, TransformStamped
from mmllm_ros.msg import ModalityPlan, SensorTokens
from mmllm_ros.srv import Ask
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensors import Sensor, image, start, status_of, values
from std_msgs.msg import Header
from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor
from visualization_msgs.msg import Marker, MarkerArray

from mmllm_ros.datatypes import NANOSECONDS, BadInput
from mmllm_ros.encoders.objects import TOKEN_WIDTH
from mmllm_ros.model import Model
from mmllm_ros.nodes.camera_encoder import CameraEncoderNode
from mmllm_ros.nodes.clients.graph_probe import age_of
from mmllm_ros.nodes.context_monitor import ContextMonitor
from mmllm_ros.nodes.encoding.object_source import FrameLookup
from mmllm_ros.nodes.llm import Llm
from mmllm_ros.nodes.object_encoder import ObjectEncoderNode
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.ros_support.sensor_topics import KINDS, SensorTopic
from mmllm_ros.resources import EMBEDDED, model_folder
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.questions.question_maker import ask as questions_about
from mmllm_ros.simulator.questions.scene_graph import SceneGraph
from mmllm_ros.training.untrained_modalities import of_rig


@pytest.fixture
def rig(tmp_path):
    """A robot that has nothing but another perception stack."""
    path = tmp_path / "stack.yaml"
    path.write_text("objects: {topic: perception/objects, classes: {PEDESTRIAN_ADULT: pedestrian}}\n")
    return path


def stack(ros, objects, frame="base_link", period=0.1):
    """Publishes markers of `objects`, pairs of a class name and a position, until the test ends."""
    publisher = ros.tester.create_publisher(MarkerArray, "perception/objects", 5)

    def publish() -> None:
        now = time.time_ns()
        header = Header(stamp=Time(sec=now // NANOSECONDS, nanosec=now % NANOSECONDS), frame_id=frame)
        shown = [
            Marker(header=header, ns=name, id=index, type=Marker.CUBE, pose=Pose(position=Point(x=x, y=y, z=z)))
            for index, (name, (x, y, z)) in enumerate(objects)
        ]
        publisher.publish(MarkerArray(markers=shown))

    ros.tester.create_timer(period, publish)


def test_the_objects_of_a_simulated_drive_alone_answer_questions_about_it(ros, rig):
    drive, layout = Drive(1_000_000_003, load_rig("front"), "day"), load_rig("front")
    drive.advance(3.0)
    truth = drive.capture().truth
    seen = SceneGraph(truth, layout).objects
    stack(ros, [(item.category, tuple(map(float, item.position))) for item in seen])
    model = str(model_folder(EMBEDDED))
    start(ros, ObjectEncoderNode, model, rig=str(rig))
    settings = {"model": model, "device": "cpu", "rig": str(rig), "max_age": 60.0, "timeout": 600.0}
    llm = ros.add(Llm(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()]))
    ros.add(ContextMonitor(parameter_overrides=[Parameter("rig", value=str(rig)), Parameter("model", value=model)]))
    plans = ros.collect(ModalityPlan, "mmllm/plan", qos.LATCHED)
    ros.until(lambda: llm.worker.assistant and plans and dict(zip(plans[-1].modalities, plans[-1].plugged)).get("objects"))
    ros.until(lambda: ("objects", "objects") in llm.worker.assistant._newest)
    kinds = {"exist": 0.5, "count": 0.3, "object": 0.2}
    asked = questions_about(truth, layout, np.random.default_rng(0), 24, "test", shares=kinds)
    answers = [ros.call(Ask, "mmllm/ask", Ask.Request(question=question.question)).answer for question in asked]
    assert {(item.modality, item.source) for answer in answers for item in answer.evidence} == {("objects", "objects")}
    assert sum(question.answer == answer.answer for question, answer in zip(asked, answers, strict=True)) >= 18


class GraphWithVisionMessages:
    """A node whose graph has a publisher of a type that is not installed."""

    def resolve_topic_name(self, topic):
        return f"/{topic}"

    def get_publishers_info_by_topic(self, name):
        return [SimpleNamespace(topic_type="vision_msgs/msg/Detection3DArray")]


@pytest.mark.skipif(find_spec("vision_msgs") is not None, reason="vision_msgs is installed")
def test_a_topic_of_vision_msgs_needs_that_package_and_the_reason_says_so():
    topic = SensorTopic(GraphWithVisionMessages(), KINDS["objects"], "objects", lambda kind, name: None)
    topic.follow()
    assert topic.subscription is None and "vision_msgs is not installed: `apt install" in topic.problem


def test_the_doctor_reads_the_age_of_markers_from_their_stamps():
    old = Marker(header=Header(stamp=Time(sec=5)))
    assert age_of(MarkerArray(markers=[old]), 7 * NANOSECONDS) == 2.0
    assert age_of(MarkerArray(), 7 * NANOSECONDS) == age_of(MarkerArray(markers=[Marker()]), 7 * NANOSECONDS) == 0.0


def test_the_detector_that_the_rig_names_encodes_camera_images(ros, tmp_path, tiny_model):
    config = YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[32, 48], patch_size=16,
        num_detection_tokens=5, id2label={0: "car"}, label2id={"car": 0},
    )  # fmt: skip
    YolosForObjectDetection(config).save_pretrained(tmp_path / "yolos")
    YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 48}).save_pretrained(tmp_path / "yolos")
    (tmp_path / "config.json").write_text(json.dumps({"modality": "camera", "kind": "detector", "name": "yolos", "least": 0.0}))
    path = tmp_path / "robot.yaml"
    path.write_text(f"cameras: {{front: {{}}}}\nlidar: {{}}\ndetector: {tmp_path}\n")
    node = start(ros, CameraEncoderNode, tiny_model, "configure", "activate", rig=str(path))
    tokens = ros.collect(SensorTokens, "mmllm/tokens")
    Sensor(ros, "camera/front/image_raw", image())
    ros.until(lambda: tokens)
    expected = of_rig(Model.load(model_folder(EMBEDDED), "cpu"), load_rig(path)).encoder_revisions["camera"]
    assert tokens[0].encoder == node._worker.encoder.revision == expected and tokens[0].width == TOKEN_WIDTH


def test_what_cannot_be_used_is_counted_in_the_diagnostics_with_its_reason(ros, rig, tiny_model):
    stack(ros, [("car", (9.0, 0.0, 0.0))], frame="map")
    start(ros, ObjectEncoderNode, tiny_model, "configure", "activate", rig=str(rig))
    diagnostics, tokens = ros.collect(DiagnosticArray, "/diagnostics"), ros.collect(SensorTokens, "mmllm/tokens")
    status = ros.until(lambda: (s := status_of(diagnostics, "object_encoder: objects")) and int(values(s)["rejected"]) and s)
    assert "frame 'map'" in status.message and "objects.frame" in status.message and not tokens


class ExtrapolationException(Exception):
    """As tf2 raises it."""


class Buffer:
    """What tf2_ros is to this package, with one frame that was last seen at 5 s."""

    cleared = 0

    def lookup_transform(self, target, frame, time):
        if time.nanoseconds > 5 * NANOSECONDS:
            raise ExtrapolationException("the latest data is at time 5.0")
        return TransformStamped()

    def clear(self):
        self.cleared += 1


@pytest.fixture
def tf2(monkeypatch):
    module = ModuleType("tf2_ros")
    module.__spec__ = ModuleSpec("tf2_ros", None)
    module.Buffer, module.TransformListener = Buffer, lambda buffer, node: None
    module.ExtrapolationException = ExtrapolationException
    monkeypatch.setitem(sys.modules, "tf2_ros", module)


def test_a_frame_that_tf_does_not_know_yet_at_the_time_of_the_message_is_no_frame_that_it_does_not_connect(tf2, rig):
    frames = FrameLookup(None, load_rig(rig).objects)
    assert np.array_equal(frames.transform("odom", 4 * NANOSECONDS)[0], np.eye(3))
    with pytest.raises(BadInput) as told:
        frames.transform("odom", 6 * NANOSECONDS)
    assert "at the time of the message (the latest data is at time 5.0): publish it more often" in str(told.value)
    assert "objects.frame" not in str(told.value)


def test_tf_of_before_a_jump_back_of_the_clock_is_forgotten(ros, tf2, rig, tiny_model):
    node = start(ros, ObjectEncoderNode, tiny_model, "configure", rig=str(rig), use_sim_time=True)
    clock, source = ros.publisher(Clock, "/clock"), node._sources[0]
    ros.until(lambda: clock.publish(Clock(clock=Time(sec=1000))) or node.get_clock().now().nanoseconds == 1000 * NANOSECONDS)
    ros.until(lambda: source.running)  # to begin clears too
    before = source._frames._buffer.cleared
    ros.until(lambda: clock.publish(Clock(clock=Time(sec=10))) or source._frames._buffer.cleared > before)
