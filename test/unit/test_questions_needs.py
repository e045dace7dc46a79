# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The modality sets that can answer a question: they clearly see every object that the answer depends on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scenes import AROUND, FRONT, SIGHT_ONLY, random_scene, scene, thing
from slow_answer import parse

from mmllm_ros.simulator.questions.programs import needs, run
from mmllm_ros.simulator.questions.question_maker import ask
from mmllm_ros.simulator.questions.scene_graph import SceneGraph
from mmllm_ros.simulator.truth import EgoMotion

BOTH = (("camera",), ("lidar",))
UNCLEAR = {"clear_pixels": {}}
THIN = {"clear_returns": 0}


def _needs(program, *objects, rig=AROUND, **more):
    graph = SceneGraph(scene(*objects, **more), rig)
    assert run(parse(program), graph) is not None
    return needs(parse(program), graph)


def test_either_sensor_answers_alone_where_both_see_the_object():
    assert _needs("status(the(pick(any, car)))", thing("car", 10, 0, "moving")) == BOTH


def test_a_car_in_the_dark_needs_the_lidar_and_one_in_the_rain_the_camera():
    dark, thinned = thing("car", 10, 0, "moving", **UNCLEAR), thing("car", 10, 0, "moving", **THIN)
    assert _needs("status(the(pick(any, car)))", dark) == (("lidar",),)
    assert _needs("status(the(pick(any, car)))", thinned) == (("camera",),)
    assert _needs("status(the(pick(any, car)))", thing("car", 10, 0, "moving", **UNCLEAR, **THIN)) == ()


def test_two_objects_each_clear_to_one_sensor_need_both_together():
    objects = thing("car", 10, 0, "moving", **UNCLEAR), thing("truck", -10, 0, "moving", **THIN)
    assert _needs("same(the(pick(any, car)), the(pick(any, truck)))", *objects) == (("camera", "lidar"),)


def test_colour_and_lights_are_for_the_camera_only():
    car = thing("car", 10, 0, "moving", "red")
    assert _needs("colour(the(pick(any, car)))", car) == (("camera",),)
    assert _needs("is(colour(nearest(pick(any, car, toward(front, me())))), red)", car) == (("camera",),)
    assert _needs("light()", light="green") == (("camera",),)
    assert _needs("colour(the(pick(any, car)))", dataclasses.replace(car, clear_pixels={})) == ()


@pytest.mark.parametrize("program", ["turn()", "braking()", "accelerating()", "is(turn(), turning left)"])
def test_turning_and_acceleration_need_the_imu(program):
    assert _needs(program, ego=EgoMotion(5, 0.2, 2)) == (("imu",),)
    assert _needs(program, ego=EgoMotion(5, 0.2, 2), rig=SIGHT_ONLY) == ()


def test_camera_and_lidar_can_answer_whether_the_ego_moves():
    assert _needs("moving()", thing("car", 10, 0, "moving")) == (("camera",), ("imu",), ("lidar",))
    assert _needs("moving()", thing("car", 10, 0, "moving", **UNCLEAR)) == (("imu",), ("lidar",))


def test_a_yes_needs_one_example_and_a_count_needs_them_all():
    objects = thing("car", 10, 0, "moving"), thing("car", 20, 0, "moving", **UNCLEAR), thing("bus", 9, 9, "moving")
    assert _needs("exist(pick(any, car))", *objects) == BOTH
    assert _needs("count(pick(any, car))", *objects) == (("lidar",),)


def test_a_count_of_moving_cars_needs_every_car_that_might_move():
    objects = thing("car", 10, 0, "moving"), thing("car", 20, 0, "parked", **THIN), thing("bus", 9, 9, "moving")
    assert _needs("count(pick(moving, car))", *objects) == (("camera",),)


def test_a_no_needs_coverage_of_the_whole_sector():
    car = thing("car", 10, 0, "moving")
    assert _needs("exist(pick(any, bus, toward(front, me())))", car, rig=FRONT) == BOTH
    assert _needs("exist(pick(any, bus, toward(back, me())))", car, rig=FRONT) == (("lidar",),)
    assert _needs("exist(pick(any, bus, toward(back, me())))", car) == BOTH


def test_a_sensor_that_sees_nothing_cannot_answer_no():
    dark = [thing("car", 10, y, "moving", **UNCLEAR) for y in (-4, 0, 4)]
    assert _needs("exist(pick(any, bus, toward(back, me())))", *dark) == (("lidar",),)


def test_a_sensor_that_loses_an_object_can_no_longer_answer_about_it():
    lost = {"camera": {"clear_pixels": {}}, "lidar": {"clear_returns": 0}}
    checked = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = random_scene(rng)
        questions = [question for question in ask(truth, AROUND, rng, 15) if question.template_type not in ("ego", "light")]
        for modality, change in lost.items():
            blinded = dataclasses.replace(truth, objects=tuple(dataclasses.replace(item, **change) for item in truth.objects))
            graph = SceneGraph(blinded, AROUND)
            for question in questions:
                if any(item in question.program for item in ("the(", "nearest(")) or question.answer == "yes":
                    after = needs(parse(question.program), graph)
                    assert all(modality not in kept for kept in after), question
                    checked += (modality,) in question.needs
    assert checked > 200
