# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of question beyond NuScenes-QA: true answers, programs that read back, and the modalities that can tell."""

from __future__ import annotations

import dataclasses
import math
import re
from functools import cache
from random import Random

import numpy as np
import pytest
from scenes import AROUND, FRONT, NO_CAMERA, random_scene, scene, thing

from mmllm_ros.datatypes import BadInput
from mmllm_ros.simulator.questions.everyday import word
from mmllm_ros.simulator.questions.everyday_kinds import KINDS, ask_kinds
from mmllm_ros.simulator.questions.path import in_the_way
from mmllm_ros.simulator.questions.programs import needs, object_sets, parse, presuppositions_hold, run, text
from mmllm_ros.simulator.questions.question_maker import EVERYDAY_ANSWERS
from mmllm_ros.simulator.questions.scene_graph import ME, SceneGraph
from mmllm_ros.simulator.truth import EgoMotion, Weather


@cache
def _asked(split="train", rig=AROUND, scenes=90):
    found = []
    for seed in range(scenes):
        rng = np.random.default_rng(seed)
        truth = random_scene(rng)
        truth = dataclasses.replace(truth, weather=Weather(light=rng.uniform(), fog=rng.uniform(), rain=rng.uniform()))
        found += [(truth, question) for question in ask_kinds(truth, rig, rng, 12, split)]
    return found


def _run(program, *objects, **kind):
    return run(parse(program), SceneGraph(scene(*objects, **kind), AROUND))


@pytest.mark.parametrize("rig", [AROUND, FRONT, NO_CAMERA], ids=lambda rig: rig.name)
def test_programs_read_back_and_run_to_an_answer_of_the_answer_set(rig):
    for truth, question in _asked(rig=rig):
        program, graph = parse(question.program), SceneGraph(truth, rig)
        assert text(program) == question.program
        assert run(program, graph) == question.answer
        assert question.answer in EVERYDAY_ANSWERS
        assert question.needs == needs(program, graph)
        assert presuppositions_hold(program, graph)
        assert all(part >= 0 for parts in object_sets(program, graph) for part in parts)


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_kind_is_asked_and_no_slot_stays_unfilled(split):
    assert {question.details["template"] for _, question in _asked(split)} == set(KINDS)
    for _, question in _asked(split):
        assert not re.search(r"[\[\]{}<>|/_]|  | [?.,;:]|\bNone\b|buss\b", question.question), question.question
        assert question.details["language"] == "everyday"
        assert (question.details["wording"] == "held out") <= (split == "test")


@pytest.mark.parametrize("name", KINDS)
def test_known_and_held_out_wordings_of_a_kind_do_not_overlap(name):
    program = parse(next(question.program for _, question in _asked() if question.details["template"] == name))
    random = Random(0)
    known, held_out = ({word(program, random, kept)[0].lower().rstrip("?.") for _ in range(800)} for kept in (False, True))
    assert len(known) >= 80 and len(held_out) >= 80 and not known & held_out


def test_a_status_that_is_asked_about_is_in_every_wording():
    program, random = parse("category(nearest(pick(parked, thing, toward(left, me()))))"), Random(0)
    for held_out in (False, True):
        for _ in range(200):
            words = word(program, random, held_out)[0]
            assert "parked" in words.lower() and "left" in words.lower(), words


def test_where_something_is_has_a_direction_and_a_distance():
    assert _run("where(the(pick(any, car)))", thing("car", 12, 12, "moving")) == "front left, 10 to 20 metres"
    assert _run("where(nearest(pick(any, car)))", thing("car", -20, 0), thing("car", 0, -7)) == "front right, 5 to 10 metres"
    assert _run("where(the(pick(any, car)))", thing("car", 10.1, 0)) is None


def test_the_closer_of_two_is_clear_or_not_asked():
    assert _run("closer(the(pick(any, car)), the(pick(any, bus)))", thing("car", 9, 0), thing("bus", 0, 7)) == "bus"
    assert _run("closer(the(pick(any, car)), the(pick(any, bus)))", thing("car", 9, 0), thing("bus", 0, 8.5)) is None


def test_a_side_holds_what_is_ahead_and_behind_on_it():
    graph = SceneGraph(scene(thing("car", 5, 5), thing("bus", -5, 5), thing("truck", 9, 0), thing("car", 5, -6)), AROUND)
    assert graph.toward(ME, "left") == 0b0011 and graph.toward(ME, "right") == 0b1000
    assert graph.covers("camera", "left") and not SceneGraph(graph.truth, FRONT).covers("camera", "left")


@pytest.mark.parametrize(
    ("x", "y", "yaw", "expected"),
    [(8, 0, 0, True), (8, 1.2, 0, True), (8, 4, 0, False), (-8, 0, 0, False), (30, 0, 0, False), (8, 2.2, 0, None),
     (8, 2.2, math.pi / 2, True), (17, 0, 0, None)],
)  # fmt: skip
def test_the_way_is_blocked_by_what_clearly_reaches_into_it(x, y, yaw, expected):
    item = dataclasses.replace(thing("car", x, y), yaw=yaw)
    assert in_the_way(item) is expected
    assert _run("free()", item) == {True: "no", False: "yes", None: None}[expected]
    assert _run("in_way(pick(any, car))", item) == {True: "yes", False: "no", None: None}[expected]
    assert _run("in_way(pick(any, bus))", item) == "no"


def test_whoever_sees_what_blocks_the_way_can_tell():
    hidden = {"clear_pixels": {}}
    graph = SceneGraph(scene(thing("car", 8, 0, **hidden), thing("bus", 9, 20)), AROUND)
    assert needs(parse("free()"), graph) == (("lidar",),)
    assert needs(parse("in_way(pick(any, bus))"), graph) == (("camera",), ("lidar",))


@pytest.mark.parametrize(
    ("acceleration", "expected"), [(2.0, "faster"), (-2.0, "slower"), (0.0, "same speed"), (0.5, None), (-0.5, None)]
)
def test_the_pace_is_felt_by_the_imu(acceleration, expected):
    graph = SceneGraph(scene(ego=EgoMotion(5, 0, acceleration)), AROUND)
    assert run(("pace",), graph) == expected
    assert needs(("pace",), graph) == (("imu",),)


@pytest.mark.parametrize(
    ("weather", "daylight", "fog", "rain"),
    [(Weather(), "day", "no", "no"), (Weather(light=0.0), "night", "no", "no"), (Weather(light=0.3), "dusk", "no", "no"),
     (Weather(light=0.3, fog=0.8), None, "yes", "no"), (Weather(light=0.15, rain=0.2), None, "no", None)],
)  # fmt: skip
def test_light_and_weather_are_answered_where_they_are_clear(weather, daylight, fog, rain):
    graph = SceneGraph(scene(weather=weather), AROUND)
    assert (run(("daylight",), graph), run(("fog",), graph), run(("rain",), graph)) == (daylight, fog, rain)
    assert needs(("fog",), graph) == (("camera",),) and needs(("fog",), SceneGraph(graph.truth, NO_CAMERA)) == ()


def test_the_same_generator_state_asks_the_same_and_an_unknown_split_is_refused():
    truth = random_scene(np.random.default_rng(3))
    first, again = (ask_kinds(truth, AROUND, np.random.default_rng(5), 10) for _ in range(2))
    assert first == again
    with pytest.raises(BadInput, match="'dev' is not one of"):
        ask_kinds(truth, AROUND, np.random.default_rng(0), 1, "dev")
