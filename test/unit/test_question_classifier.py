# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a question asks for, by its words."""

from __future__ import annotations

import numpy as np
import pytest

from mmllm_ros.context.question_classifier import QuestionClass, classify_question, viewed_directions
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.questions.question_maker import ask
from mmllm_ros.simulator.questions.templates import TEMPLATES


@pytest.mark.parametrize("seed", range(3))
def test_every_question_of_the_simulator_is_of_the_type_that_it_was_made_as(seed):
    drive = Drive(1_000_000_000 + seed, load_rig("nuscenes"), "day")
    drive.advance(2.0)
    for question in ask(drive.capture().truth, drive.rig, np.random.default_rng(seed), 60, "test"):
        assert classify_question(question.question).type == question.template_type, question.question


FILLINGS = {
    "things": "moving cars", "thing": "moving car", "where": "front left", "place": "of me", "ref": "parked bus", "one": "bus",
    "other": "car to the back of me", "d1": "front", "d2": "back left", "r1": "the bus", "r2": "me", "turn": "turning left",
    "colour": "red",
}  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_every_wording_is_read_as_a_question_of_its_type(template):
    for wording in (*template.wordings, *template.held_out):
        question = wording.format(**FILLINGS)
        assert classify_question(question).type == template.type, question


@pytest.mark.parametrize(
    ("question", "type", "where", "able"),
    [
        ("Are there any cars to the front left of me?", "exist", "front left", ("camera", "lidar")),
        ("What colour is the car ahead?", "light", "front", ("camera",)),
        ("Am I braking?", "ego", "", ("imu", "camera", "lidar")),
        ("How far is the nearest truck to the back of me?", "distance", "back", ("camera", "lidar")),
        ("Sing me a song!", "", "", ()),
    ],
)
def test_a_question_names_its_type_its_direction_and_who_can_tell(question, type, where, able):
    assert classify_question(question) == QuestionClass(type, where, able)


def test_the_kind_says_whether_the_cameras_look_there():
    front, back = (
        classify_question("Is there any car to the front of me?"),
        classify_question("Is there any car to the back of me?"),
    )
    assert viewed_directions(load_rig("front")) == {"front"}
    assert front.kind({"front"}) == "exist in view" and back.kind({"front"}) == "exist out of view"
    assert back.kind(viewed_directions(load_rig("nuscenes"))) == "exist in view"
    assert classify_question("What colour is the car ahead?").kind({"front"}) == "light"
