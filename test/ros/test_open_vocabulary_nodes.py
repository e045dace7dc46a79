# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about things beyond the ten classes over DDS: from the llm node to the zero-shot detector of the camera_encoder."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import rclpy
from mmllm_ros.srv import Ask
from rclpy.parameter import Parameter
from sensors import Sensor, image, start
from zero_shot_folder import write_owlvit

from mmllm_ros.config import EncoderConfig
from mmllm_ros.nodes.camera_encoder import CameraEncoderNode
from mmllm_ros.nodes.encoding import open_vocabulary_server
from mmllm_ros.nodes.llm import Llm
from mmllm_ros.rig import load_rig


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_zero_shot_detector_answers_in_place_of_the_language_model(ros, tmp_path, tiny_model):
    rig, detector = tmp_path / "robot.yaml", write_owlvit(tmp_path / "owlvit")
    rig.write_text(f"cameras: {{front: {{}}}}\nlidar: {{}}\nopen_vocabulary: {detector}\n")
    camera = start(ros, CameraEncoderNode, tiny_model, "configure", "activate", rig=str(rig))
    settings = {"model": str(tiny_model), "device": "cpu", "rig": str(rig), "timeout": 60.0}
    llm = ros.add(Llm(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()]))
    Sensor(ros, "camera/front/image_raw", image())
    ros.until(lambda: llm.worker.assistant and llm._look._client.service_is_ready() and camera._sources[0].monitor.newest)
    answer = ros.call(Ask, "mmllm/ask", Ask.Request(question="Are there any strollers?")).answer
    assert answer.answer in ("yes", "no") and answer.model == str(detector)
    assert [(item.modality, item.source) for item in answer.evidence] == [("camera", "front")]
    assert answer.evidence[0].note.startswith("zero-shot detector, not calibrated: stroller")
    other = ros.call(Ask, "mmllm/ask", Ask.Request(question="are there any cars ?")).answer
    assert other.model == llm.worker.assistant.model.name
    refused = ros.call(Ask, "camera_encoder/ask", Ask.Request(question="Are there any cars?"))
    assert not refused.success and "beyond the ten classes" in refused.message


def test_a_zero_shot_detector_that_is_not_there_fails_the_configuration(ros, tmp_path, tiny_model):
    rig = tmp_path / "robot.yaml"
    rig.write_text(f"cameras: {{front: {{}}}}\nopen_vocabulary: {tmp_path / 'none'}\n")
    settings = {"model": str(tiny_model), "device": "cpu", "rig": str(rig)}
    node = ros.add(CameraEncoderNode(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()]))
    assert not ros.transit(node, "configure") and "cannot be loaded" in node._failure


class SlowDetector:
    """Answers when `free` is set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.free = threading.Event()

    def answer(self, question, *_) -> None:
        self.asked.append(question)
        self.free.wait()


@pytest.fixture
def slow(ros, tmp_path, monkeypatch):
    """A server with a slow detector, `ask` sends it a question."""
    path, detector = tmp_path / "robot.yaml", SlowDetector()
    path.write_text("cameras: {front: {}}\nopen_vocabulary: none\n")
    monkeypatch.setattr(open_vocabulary_server, "ZeroShotDetector", lambda *_: None)
    monkeypatch.setattr(open_vocabulary_server, "OpenVocabulary", lambda *_: detector)
    node = rclpy.create_node("camera_encoder")
    node.config = EncoderConfig()
    server = open_vocabulary_server.OpenVocabularyServer(node, load_rig(path), list)
    server.load("cpu")
    client = ros.client(Ask, f"{ros.add(node).get_name()}/ask")

    def ask(question: str, timeout: float = 0.0):
        return client.call_async(Ask.Request(question=question, timeout=timeout))

    yield SimpleNamespace(server=server, detector=detector, ask=ask)
    detector.free.set()
    server.release()


def test_questions_whose_time_has_passed_are_not_looked_for_and_those_without_room_are_refused(ros, slow):
    first = slow.ask("first")
    ros.until(lambda: slow.detector.asked)
    late, waiting = slow.ask("late", 0.001), [slow.ask("waits") for _ in range(open_vocabulary_server.QUEUE - 2)]
    refused = slow.ask("one too many")
    ros.until(refused.done)
    assert refused.result().message == "8 questions wait for the zero-shot detector already, ask again later"
    assert not any(future.done() for future in (first, late, *waiting))
    slow.detector.free.set()
    ros.until(lambda: all(future.done() for future in (first, late, *waiting)))
    assert late.result().message == open_vocabulary_server.TOO_LATE
    assert slow.detector.asked == ["first", *["waits"] * len(waiting)]


def test_the_queue_of_a_detector_that_is_freed_is_refused_at_once_and_it_can_be_loaded_again(ros, slow):
    slow.ask("first")
    ros.until(lambda: slow.detector.asked)
    waiting = slow.ask("waits")
    ros.until(lambda: len(slow.server._jobs) == 2)
    slow.server.release()
    ros.until(waiting.done)
    assert waiting.result().message == open_vocabulary_server.NOT_LOADED and slow.detector.asked == ["first"]
    slow.server.load("cpu")
    again = slow.ask("again")
    slow.detector.free.set()
    ros.until(again.done)
    assert slow.detector.asked == ["first", "again"]
