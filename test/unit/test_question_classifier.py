# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an everyday question asks for, by its words: measured on generated held-out wordings and on questions written by hand."""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random

import numpy as np
import pytest
from scenes import AROUND, random_scene

from mmllm_ros.context.question_classifier import (
    ABLE,
    OUT_OF_SCOPE,
    SELF,
    TOPICS,
    QuestionClass,
    asks_for_decision,
    classify_question,
    strip,
)
from mmllm_ros.simulator.questions.everyday_kinds import EVERYDAY_TYPES, ask_kinds
from mmllm_ros.simulator.questions.out_of_scope import out_of_scope
from mmllm_ros.simulator.questions.programs import parse
from mmllm_ros.simulator.questions.question_maker import ask
from mmllm_ros.simulator.questions.templates import TYPES


@cache
def _held_out():
    rng, found = np.random.default_rng(11), out_of_scope(Random(11), 300, "test")
    for _ in range(60):
        truth = random_scene(rng)
        found += [*ask(truth, AROUND, rng, 14, "test", language="everyday"), *ask_kinds(truth, AROUND, rng, 8, "test")]
    return [question for question in found if question.details["wording"] == "held out"]


def test_the_type_of_held_out_wordings_is_right_in_97_of_100():
    right, total = Counter(), Counter()
    for question in _held_out():
        total[question.template_type] += 1
        right[question.template_type] += classify_question(question.question).type == question.template_type
    assert set(total) == {*TYPES, *EVERYDAY_TYPES, "out of scope"}
    assert right.total() / total.total() >= 0.97, (right, total)
    for kind, count in total.items():
        assert right[kind] / count >= 0.9, (kind, right[kind], count)


def test_the_direction_from_the_robot_is_right_in_97_of_100():
    right = total = 0
    for question in _held_out():
        if (
            question.program
            and question.template_type not in ("ego", "weather", "path")
            and question.details["template"] != "object_both"
        ):
            total += 1
            right += classify_question(question.question).direction == _where(parse(question.program))
    assert total > 200 and right / total >= 0.97, (right, total)


def _where(program):
    if isinstance(program, str):
        return ""
    if program[0] == "toward" and program[2] == ("me",):
        return program[1]
    return next((found for part in program[1:] if (found := _where(part))), "")


@pytest.mark.parametrize(
    ("question", "type"),
    [
        ("is anybody crossing in front of us?", "exist"),
        ("Do you see any cyclists?", "exist"),
        ("Anything behind me?", "exist"),
        ("are there people around?", "exist"),
        ("Is there a truck coming from behind?", "exist"),
        ("how many cars can you see around us", "count"),
        ("count the people please", "count"),
        ("Where's the bus?", "where"),
        ("where are the pedestrians", "where"),
        ("In which direction do you see the truck?", "where"),
        ("Is the light green yet?", "light"),
        ("what colour's that car in front of us", "light"),
        ("is the van ahead white?", "light"),
        ("How far is the car in front of me?", "distance"),
        ("how close is that truck", "distance"),
        ("What's behind us?", "object"),
        ("what's that on the left", "object"),
        ("What do you see on my right?", "object"),
        ("Tell me what is ahead", "object"),
        ("what can you see right now?", "object"),
        ("Is the car in front moving?", "status"),
        ("what's the pedestrian doing", "status"),
        ("is that truck parked?", "status"),
        ("Can we go, is the road clear?", "path"),
        ("is something in my way", "path"),
        ("is anything blocking us", "path"),
        ("Are we slowing down?", "ego"),
        ("how is my speed changing", "ego"),
        ("which way are we turning?", "ego"),
        ("am I going faster than before?", "ego"),
        ("Is it dark?", "weather"),
        ("how's the weather", "weather"),
        ("is it foggy outside", "weather"),
        ("which one is closer, the bus or the bike?", "comparison"),
        ("Is the bus nearer than the truck?", "comparison"),
        ("Where did I leave my keys?", "out of scope"),
        ("What is the licence plate?", "out of scope"),
        ("Will it rain tomorrow?", "out of scope"),
        ("Who is the driver?", "out of scope"),
        ("how old are you", "out of scope"),
        ("What's the meaning of life?", "out of scope"),
        ("Which restaurant is the best?", "out of scope"),
        ("Is there a sofa in the living room?", "out of scope"),
        ("How much is the fish?", "out of scope"),
    ],
)
def test_a_question_about_the_surroundings_has_a_type_and_modalities_that_can_tell(question, type):
    reading = classify_question(question)
    assert reading.type == type
    assert reading.modalities == ABLE.get(type, ())
    assert not reading.topic


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("What can you do?", "abilities"),
        ("what are you able to do", "abilities"),
        ("Hey, what kind of questions can I ask you?", "abilities"),
        ("who are you?", "abilities"),
        ("what else can you tell me", "abilities"),
        ("Can you drive by yourself?", "abilities"),
        ("Which sensors do you have?", "sensors"),
        ("what sensors have you got", "sensors"),
        ("Do you have a lidar?", "sensors"),
        ("how many cameras do you have", "sensors"),
        ("Where is your camera mounted?", "sensors"),
        ("Is the camera working?", "sensor state"),
        ("is your lidar ok", "sensor state"),
        ("Are the cameras dirty?", "sensor state"),
        ("what's wrong with the imu?", "sensor state"),
        ("Is any sensor broken?", "sensor state"),
        ("Why do you not use the lidar?", "why not used"),
        ("why don't you use the camera", "why not used"),
        ("Why is the lidar switched off?", "why not used"),
        ("why aren't you using the imu right now?", "why not used"),
        ("Which sensors are you using?", "in use"),
        ("which sensors do you use right now", "in use"),
        ("Are you using the camera?", "in use"),
        ("Are you sure?", "confidence"),
        ("are you really sure about that", "confidence"),
        ("How confident are you?", "confidence"),
        ("Really?", "confidence"),
        ("is that right?", "confidence"),
        ("how certain is that", "confidence"),
        ("How do you know?", "evidence"),
        ("How did you find that out?", "evidence"),
        ("why do you think so?", "evidence"),
        ("What is that based on?", "evidence"),
        ("which sensor told you that", "evidence"),
        ("how can you tell", "evidence"),
        ("What did I ask before?", "history"),
        ("what was my last question", "history"),
        ("What did you say?", "history"),
        ("repeat your answer please", "history"),
        ("Did I already ask you that?", "history"),
    ],
)
def test_a_question_about_the_robot_itself_has_a_topic(question, topic):
    reading = classify_question(question)
    assert (reading.type, reading.topic, reading.modalities) == ("self", topic, ())
    assert topic in TOPICS


def test_a_question_about_a_sensor_names_its_modality():
    assert classify_question("why don't you use the lidar?").sensor == "lidar"
    assert classify_question("Is the laser ok?").sensor == "lidar"
    assert classify_question("are your cameras dirty").sensor == "camera"
    assert classify_question("does the gyro work").sensor == "imu"
    assert classify_question("which sensors do you have").sensor == ""


@pytest.mark.parametrize(
    ("question", "where"),
    [
        ("what's behind us on the left?", "back left"), ("is there a car right behind me", "back"),
        ("any bikes at 2 o'clock", "front right"),
        ("what do you see on my right-hand side", "right"), ("is there a car behind the bus?", ""),
        ("how many cars are there right now", ""),
        ("is the car to my front left parked, right?", "front left"), ("is the road ahead free", "front"),
    ],
)  # fmt: skip
def test_a_direction_is_one_from_the_robot_only(question, where):
    assert classify_question(question).direction == where


@pytest.mark.parametrize("question", ["thanks!", "Hello robot", "who are you?", "good morning", "help", "hey"])
def test_a_greeting_and_thanks_ask_what_the_robot_can_do_whatever_a_router_says(question):
    assert classify_question(question, "surroundings") == QuestionClass(SELF, topic="abilities")


@pytest.mark.parametrize(
    ("question", "decision"),
    [
        ("can I turn left now?", True),
        ("Should I brake?", True),
        ("is it safe to go straight", True),
        ("do we have to stop?", True),
        ("is it possible to overtake?", True),
        ("am I turning left?", False),
        ("do we turn left, turn right or go straight?", False),
        ("can you see a bus?", False),
        ("is the road ahead clear?", False),
    ],
)
def test_what_to_do_is_for_the_driver_to_decide(question, decision):
    assert asks_for_decision(strip(question)) == decision
    assert not decision or classify_question(question).type == OUT_OF_SCOPE


def test_an_empty_question_asks_for_nothing_that_a_sensor_tells():
    assert classify_question(" ") == QuestionClass("out of scope")


@pytest.mark.parametrize(
    ("question", "type"),
    [
        ("how far away is the nearest shiny car?", "distance"),
        ("which is closer, the convertible car or the bus?", "comparison"),
        ("where is that wretched bus?", "where"),
    ],
)
def test_an_unknown_word_does_not_hide_what_a_question_about_a_known_thing_asks(question, type):
    assert classify_question(question).type == type
