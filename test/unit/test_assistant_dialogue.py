# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Conversations with the assistant, and questions about the robot itself."""

from __future__ import annotations

import time

import pytest
from test_assistant import Clock, plan, reading
from tiny_model import make_tiny_model

from mmllm_ros.assistant import Asked, Assistant
from mmllm_ros.config import LlmConfig
from mmllm_ros.context.context_estimate import Context
from mmllm_ros.datatypes import Health
from mmllm_ros.latent.question_router import DESCRIPTION
from mmllm_ros.model import Model, Scored
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.questions.everyday import CANNOT_TELL


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


def test_a_question_about_the_weather_is_answered_from_the_health_signals_of_the_sensors_in_use(assistant, monkeypatch):
    estimated = Context("fog", "", {"fog": 0.8}, {"fog": 0.2})
    seen = []
    monkeypatch.setattr("mmllm_ros.assistant.estimate", lambda healths: seen.append(list(healths)) or estimated)
    for modality, healthy in (("camera", True), ("lidar", True)):
        assistant.set_health(Health(modality, "front", 0, 10.0, 0.1, 0.0, 0, {}, healthy, "", 0.0))
    answer = assistant.ask("is it foggy outside?")
    assert answer.answer == "yes" and answer.confidence > 0.9 and [item.modality for item in answer.evidence] == ["camera"]
    assert [health.modality for health in seen[-1]] == ["camera"]  # no reading of the lidar is there
    assert assistant.ask("what is the weather like?").answer != "yes"


def test_the_model_answers_about_the_weather_where_no_sensor_tells_it(assistant, model, monkeypatch):
    asked = []
    monkeypatch.setattr(model, "answer", lambda question, *_: asked.append(question) or Scored("no", 0.5))
    assert assistant.ask("is it foggy outside?").answer == "no" and asked == ["is it foggy outside?"]


def test_what_to_do_is_not_decided_by_the_model(assistant, model, monkeypatch):
    monkeypatch.setattr(model, "answer", lambda *_: pytest.fail("the model was asked"))
    monkeypatch.setattr(model, "score_all", lambda *_: pytest.fail("the model was asked"))
    for answer in assistant.ask_all([Asked("Can I turn left now?"), Asked("is it safe to overtake?")]):
        assert answer.answer.startswith("I cannot tell") and answer.confidence == 1.0


def test_the_last_answer_is_that_of_ones_own_conversation_and_no_standing_question(assistant):
    assistant.ask("are there any cars ?", conversation="a")
    assistant.ask("are there any trucks ?", conversation="b")
    list(assistant.ask_all([Asked("are there any buses ?", conversation="a", standing=True)]))
    assert '"are there any cars ?"' in assistant.ask("What did I ask before?", conversation="a").answer
    assert '"are there any trucks ?"' in assistant.ask("What did I ask before?", conversation="b").answer
    assert assistant.ask("What did I ask before?", conversation="c").answer.startswith("You have not asked")


def test_a_sensor_whose_encoder_reports_no_more_does_not_work(assistant, monkeypatch):
    assistant.set_health(Health("camera", "front", 0, 10.0, 0.1, 0.0, 0, {}, True, "", 0.0))
    assert assistant.ask("Is the camera working?").answer.startswith("The camera works, at 10 Hz")
    later = time.monotonic() + 5.0
    monkeypatch.setattr("mmllm_ros.context.latest_health.time.monotonic", lambda: later)
    assert "its encoder has not reported for 5 s" in assistant.ask("Is the camera working?").answer


def test_a_router_that_mistakes_a_question_about_the_weather_is_not_followed(assistant, model, monkeypatch):
    monkeypatch.setattr(model, "way", lambda _: "confidence")
    assert not assistant.ask("Is it misty?").answer.startswith("I have not answered")


def test_a_router_does_not_make_a_description_of_a_yes_no_question(assistant, model, monkeypatch):
    monkeypatch.setattr(model, "way", lambda _: DESCRIPTION)
    monkeypatch.setattr(model, "answer", lambda *_: Scored("yes", 0.9))
    assert assistant.ask("Do you see any items in front of you?").answer == "yes"


def test_a_greeting_is_answered_with_what_the_robot_can_do(assistant):
    assert assistant.ask("Thanks!").answer.startswith("I can tell you ")


def test_a_thing_that_is_not_there_has_no_place(assistant, model, monkeypatch):
    said = {"Are there any buses?": Scored("no", 0.9, {"no": 0.9, "yes": 0.1})}
    place = Scored("front, over 20 metres", 0.7, {"front, over 20 metres": 0.7, "yes": 0.3})
    monkeypatch.setattr(model, "answers", [*model.answers, CANNOT_TELL])
    monkeypatch.setattr(model, "answer", lambda *_: place)
    monkeypatch.setattr(model, "score", lambda text, _: said[text])
    answer = assistant.ask("Where is the bus?")
    assert (answer.answer, answer.confidence) == ("I see no buses.", 0.9)
    said["Are there any buses?"] = Scored("yes", 0.9, {"no": 0.1, "yes": 0.9})
    assert assistant.ask("Where is the bus?").answer == place.answer
