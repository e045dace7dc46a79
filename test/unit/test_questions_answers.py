# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers: compared with a second interpreter, and invariant to object order, identifiers, rotation and reflection."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scenes import AROUND, FRONT, NO_CAMERA, random_scene, scene, thing
from slow_answer import answer, parse

from mmllm_ros.simulator.questions.programs import run, text
from mmllm_ros.simulator.questions.question_maker import ask
from mmllm_ros.simulator.questions.scene_graph import ME, SceneGraph, direction
from mmllm_ros.simulator.truth import EgoMotion


def _asked(count=60, rig=AROUND, per_scene=15):
    for seed in range(count):
        rng = np.random.default_rng(seed)
        truth = random_scene(rng)
        yield truth, ask(truth, rig, rng, per_scene, split="test")


@pytest.mark.parametrize("rig", [AROUND, FRONT, NO_CAMERA], ids=lambda rig: rig.name)
def test_every_answer_is_derived_again_by_a_slow_interpreter(rig):
    cameras = [mount.name for mount in rig.cameras]
    asked = 0
    for truth, questions in _asked(rig=rig):
        for question in questions:
            assert answer(question.program, truth, cameras, rig.lidar is not None) == question.answer, question
            asked += 1
    assert asked > 500


def test_a_program_reads_back_from_its_text():
    program = ("same", ("the", ("pick", "any", "car", ("toward", "back left", ("me",)))), ("the", ("pick", "moving", "truck")))
    assert text(program) == "same(the(pick(any, car, toward(back left, me()))), the(pick(moving, truck)))"
    assert parse(text(program)) == program


def test_order_and_identifiers_of_objects_do_not_change_an_answer():
    rng = np.random.default_rng(1)
    for truth, questions in _asked(20):
        shuffled = [truth.objects[index] for index in rng.permutation(len(truth.objects))]
        relabelled = dataclasses.replace(
            truth, objects=tuple(dataclasses.replace(item, identifier=900 - index) for index, item in enumerate(shuffled))
        )
        for question in questions:
            assert run(parse(question.program), SceneGraph(relabelled, AROUND)) == question.answer


def test_rotating_the_world_and_the_ego_vehicle_together_changes_no_answer():
    for truth, questions in _asked(20):
        for turn in (0.3, 1.9, -2.5):
            turned = dataclasses.replace(truth, objects=tuple(_seen_from_turned_ego(item, turn) for item in truth.objects))
            for question in questions:
                assert run(parse(question.program), SceneGraph(turned, AROUND)) == question.answer


def _seen_from_turned_ego(item, turn):
    """The object, turned with the world about the origin by `turn`, in the base frame of an ego vehicle turned alike."""
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = item.position[0] * cos - item.position[1] * sin, item.position[0] * sin + item.position[1] * cos
    return dataclasses.replace(item, position=(x * cos + y * sin, y * cos - x * sin, item.position[2]), yaw=item.yaw)


def test_the_mirror_swaps_left_and_right_and_nothing_else():
    def swapped(words):
        return words.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")

    sides = 0
    for truth, questions in _asked(30):
        ego = dataclasses.replace(truth.ego, yaw_rate=-truth.ego.yaw_rate)
        objects = tuple(
            dataclasses.replace(item, position=(item.position[0], -item.position[1], item.position[2])) for item in truth.objects
        )
        mirrored = SceneGraph(dataclasses.replace(truth, ego=ego, objects=objects), AROUND)
        for question in questions:
            assert run(parse(swapped(question.program)), mirrored) == swapped(question.answer)
            sides += swapped(question.program) != question.program
    assert sides > 50


@pytest.mark.parametrize(
    ("x", "y", "where"),
    [(10, 0, "front"), (10, 5, "front"), (10, 6, "front left"), (10, -6, "front right"), (-1, 10, "back left"),
     (-1, -10, "back right"), (-10, 5, "back"), (-10, 0, "back"), (0, 10, "front left")],
)  # fmt: skip
def test_directions_follow_the_thresholds_of_thirty_ninety_and_a_hundred_and_fifty_degrees(x, y, where):
    assert direction(x, y) == where
    assert SceneGraph(scene(thing("car", x, y)), AROUND).toward(ME, where) == 1


def test_an_object_that_no_sensor_of_the_rig_shows_is_not_in_the_graph():
    hidden = thing("car", 10, 0, "moving", pixels={"front": 11}, returns=5)
    only_lidar = thing("truck", 10, 5, "moving", pixels={}, clear_pixels={})
    too_far = thing("bus", 36, 0, "moving")
    truth = scene(hidden, only_lidar, too_far)
    assert [item.category for item in SceneGraph(truth, AROUND).objects] == ["truck"]
    assert [item.category for item in SceneGraph(truth, dataclasses.replace(AROUND, lidar=None)).objects] == []


def test_the_car_is_undefined_where_there_are_two_and_counts_stop_at_ten():
    graph = SceneGraph(scene(*(thing("car", 5 + index, 3, "moving") for index in range(12))), AROUND)
    assert run(("status", ("the", ("pick", "any", "car"))), graph) is None
    assert run(("count", ("pick", "any", "car")), graph) == "10"


@pytest.mark.parametrize(
    ("ego", "operation", "expected"),
    [(EgoMotion(5, 0.2, 0), "turn", "turning left"), (EgoMotion(5, -0.2, 0), "turn", "turning right"),
     (EgoMotion(5, 0.0, 0), "turn", "going straight"), (EgoMotion(5, 0.05, 0), "turn", None),
     (EgoMotion(5, 0, -2), "braking", "yes"), (EgoMotion(5, 0, 2), "braking", "no"), (EgoMotion(5, 0, -0.5), "braking", None),
     (EgoMotion(5, 0, 2), "accelerating", "yes"), (EgoMotion(0, 0, 0), "moving", "no"), (EgoMotion(0.4, 0, 0), "moving", None)],
)  # fmt: skip
def test_ego_motion_is_asked_about_only_where_it_is_clear(ego, operation, expected):
    assert run((operation,), SceneGraph(scene(ego=ego), AROUND)) == expected


def test_a_distance_near_the_edge_of_a_bin_is_not_asked():
    near_edge, clear = scene(thing("car", 10.2, 0, "moving")), scene(thing("car", 12, 0, "moving"))
    program = ("distance", ("nearest", ("pick", "any", "car")))
    assert run(program, SceneGraph(near_edge, AROUND)) is None
    assert run(program, SceneGraph(clear, AROUND)) == "10 to 20 metres"
