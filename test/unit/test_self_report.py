# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a robot answers about itself, from its own state."""

from __future__ import annotations

import dataclasses
import re

import pytest
from scenes import AROUND, NO_CAMERA

from mmllm_ros.context.question_classifier import TOPICS, QuestionClass, classify_question
from mmllm_ros.datatypes import Answer, BadInput, Evidence, Health, Plan
from mmllm_ros.dialogue.self_report import RobotState, cannot_tell, report
from mmllm_ros.rig import SignalMount

CAMERA = Health("camera", "front", 0, 10.0, 0.1, 0.0, 0, {}, True)
LIDAR = Health("lidar", "lidar", 0, 9.8, 0.2, 0.0, 0, {}, False, "almost no returns")
PLAN = Plan(0, {"camera": True, "lidar": False, "imu": True}, {"lidar": "unhealthy: almost no returns"}, "fog", 4)
LAST = Answer(
    0, "1", "Is there a car?", "yes", 0.87, (Evidence("camera", "front", 0, 0.1), Evidence("camera", "left", 0, 0.3)),
    {"lidar": "unhealthy"}, 0.1, "drive", "r1",
)  # fmt: skip
RIG = dataclasses.replace(AROUND, cameras=AROUND.cameras[:2])
STATE = RobotState(RIG, (CAMERA, LIDAR), PLAN, LAST, "simulated test drives")


def _answer(question, state=STATE):
    return report(classify_question(question), state)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which sensors do you have?", "I have 2 cameras (c0, c60), a lidar and an IMU."),
        ("do you have a radar?", "No, I have no radar. I have 2 cameras (c0, c60), a lidar and an IMU."),
        ("Do you have a lidar?", "Yes, I have a lidar."),
        ("is the lidar working?", "The lidar is not in order: almost no returns."),
        ("Is the camera ok?", "The camera works, at 10 Hz; the newest data is 0.1 s old."),
        ("Is the imu working?", "I have received nothing from my IMU."),
        ("Is the radar working?", "I have no radar."),
        ("Are all your sensors ok?", "The lidar is not in order: almost no returns. I have received nothing from my IMU."),
        ("Why don't you use the lidar?", "I do not use the lidar: unhealthy: almost no returns."),
        ("why don't you use the camera", "I do use the camera: the plan connects it."),
        ("why don't you use the radar", "I have no radar."),
        ("which sensors are you using?", "I am using my camera and IMU. I am not using my lidar."),
        ("are you using the lidar", "No, I am not using the lidar: unhealthy: almost no returns."),
        ("are you using the camera", "Yes, I am using the camera."),
        ("Are you sure?", 'Yes, I am quite sure: my confidence in "yes" is 87 %. It is calibrated on simulated test drives: '
         "of answers given with this confidence, about 87 % are right."),
        ("How do you know?", '"yes" rests on data from 2 cameras (front, left), 0.1 s old. Not used: lidar (unhealthy).'),
        ("What did I ask before?", 'You asked "Is there a car?", and I answered "yes".'),
    ],
)  # fmt: skip
def test_a_question_about_the_robot_is_answered_from_its_state(question, answer):
    assert _answer(question) == answer


def test_a_robot_that_only_hears_knows_its_microphone():
    ears = dataclasses.replace(RIG, cameras=(), lidar=None, imu=None, signals=(SignalMount("roof", "audio", "audio", "audio"),))
    assert _answer("Which sensors do you have?", RobotState(ears)) == "I have the microphone roof."
    assert "what I hear" in _answer("what can you do?", RobotState(ears))
    assert cannot_tell(["audio"]) == "I cannot tell that from my sensors. You can ask me about what I hear."
    assert cannot_tell(["radar"]) == "I cannot tell that from my sensors."
    assert "no sensor is connected" in cannot_tell([])


def test_what_it_can_do_depends_on_its_sensors():
    assert "colours" in _answer("what can you do?")
    assert "colours" not in _answer("what can you do?", RobotState(NO_CAMERA)) and "how I move" in _answer("what can you do?")
    assert "no sensor" in _answer("what can you do?", RobotState())


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("sensor", ["", "camera", "radar"])
@pytest.mark.parametrize("state", [RobotState(), STATE, RobotState(health=(CAMERA, LIDAR)), RobotState(RIG)])
def test_every_topic_has_one_or_two_sentences_whatever_is_known(topic, sensor, state):
    answer = report(QuestionClass("self", topic=topic, sensor=sensor), state)
    assert answer.endswith(".") and (answer[0].isupper() or answer.startswith('"'))
    assert 1 <= len(re.findall(r"[.?!](?:\s|$)", answer)) <= 2, answer
    assert not re.search(r"None|  |\(\)|: \.", answer), answer


@pytest.mark.parametrize(("confidence", "start"), [(0.9, "Yes"), (0.6, "Not entirely"), (0.3, "No")])
def test_how_sure_it_is_follows_its_confidence(confidence, start):
    last = dataclasses.replace(LAST, confidence=confidence)
    answer = _answer("are you sure?", dataclasses.replace(STATE, last=last, calibrated_on=""))
    assert answer.startswith(start) and "not been calibrated" in answer


def test_an_answer_without_a_sensor_says_so():
    state = dataclasses.replace(STATE, last=dataclasses.replace(LAST, evidence=()))
    assert "rests on no sensor" in _answer("how do you know?", state)
    assert "No sensor was connected" in _answer("are you sure?", state)


def test_a_sensor_left_out_of_the_last_answer_only_is_told_with_its_reason():
    last = dataclasses.replace(LAST, unplugged={"camera": "not needed for this question"})
    answer = _answer("Why do you not use the camera?", dataclasses.replace(STATE, last=last))
    assert answer == "I did not use the camera for the last answer: not needed for this question."


def test_many_faulty_cameras_are_named_in_one_sentence():
    faulty = [dataclasses.replace(CAMERA, source=name, healthy=False, reason="dark") for name in ("a", "b", "c")]
    assert _answer("are the cameras ok?", RobotState(health=faulty)) == (
        "3 of my sensors are not in order: camera a (dark), camera b (dark) and camera c (dark)."
    )


def test_cannot_tell_offers_what_can_be_asked():
    assert cannot_tell(["camera", "imu"]) == (
        "I cannot tell that from my sensors. You can ask me about what is around me, where and how far, colours and traffic "
        "lights and how I move."
    )
    assert cannot_tell([]) == "I cannot tell that: no sensor is connected."


def test_an_unknown_topic_is_refused():
    with pytest.raises(BadInput, match="'mood' is not one of"):
        report(QuestionClass("self", topic="mood"), STATE)
