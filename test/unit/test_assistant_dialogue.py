# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Conversations with the assistant, and questions about the robot itself."""

from __future__ import annotations

import pytest
from test_assistant import Clock, plan, reading
from tiny_model import make_tiny_model

from mmllm_ros.assistant import Assistant
from mmllm_ros.config import LlmConfig
from mmllm_ros.datatypes import Health
from mmllm_ros.model import Model
from mmllm_ros.rig import load_rig


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model.load(make_tiny_model(tmp_path_factory.mktemp("model")), "cpu")


@pytest.fixture
def assistant(model):
    assistant = Assistant(model, LlmConfig(), Clock(), rig=load_rig("front"))
    assistant.put(reading(model, "camera"))
    return assistant


def test_a_question_about_the_robot_itself_is_answered_from_its_state(assistant):
    assistant.set_health(Health("camera", "front", 0, 10.0, 0.1, 0.0, 0, {}, False, "black image", 0.0))
    answer = assistant.ask("Is your camera working?")
    assert "black image" in answer.answer and answer.evidence == () and answer.confidence == 1.0
    assert "camera" in assistant.ask("Which sensors do you have?").answer


def test_why_a_sensor_is_not_used_is_answered_with_the_reason_of_the_plan(assistant):
    assistant.set_plan(plan(lidar=False))
    assert "lidar is blind" in assistant.ask("Why do you not use the lidar?").answer


def test_how_the_robot_knows_refers_to_the_last_answer(assistant):
    assistant.ask("are there any cars ?")
    assert "camera" in assistant.ask("How do you know?").answer


def test_a_follow_up_refers_to_the_last_turn_of_its_conversation_only(assistant, model):
    assistant.ask("Are there any cars?", conversation="a")
    asked = []
    original = model.answer

    def spy(question, *arguments):
        asked.append(question)
        return original(question, *arguments)

    model.answer = spy
    try:
        assert assistant.ask("and behind me?", conversation="a").question == "and behind me?"
        assistant.ask("and behind me?", conversation="b")
        assistant.ask("and behind me?")
    finally:
        del model.answer
    assert "cars" in asked[0] and "behind" in asked[0]
    assert asked[1:] == ["and behind me?", "and behind me?"]
