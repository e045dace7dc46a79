# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about things beyond the ten classes over DDS: from the llm node to the zero-shot detector of the camera_encoder."""

from __future__ import annotations

import pytest
from mmllm_ros.srv import Ask
from rclpy.parameter import Parameter
from sensors import Sensor, image, start
from zero_shot_folder import write_owlvit

from mmllm_ros.nodes.camera_encoder import CameraEncoderNode
from mmllm_ros.nodes.llm import Llm


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
