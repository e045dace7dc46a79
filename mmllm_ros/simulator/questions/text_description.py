# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A text description of a scene, one statement per fact and sensor: the input of the language model before it has sensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...datatypes import PLACE_AXES
from ...rig import Rig
from ..truth import VEHICLES, SceneTruth
from . import scene_graph
from .nouns import noun
from .proposals import QUESTION_COLOURS
from .scene_graph import MAX_RANGE, SceneGraph, direction, members

TEXT_SENSORS = ("camera", "imu", "lidar")
"""The sensors whose output a description states in words."""
_NOISE = {"camera": (0.06, 0.02), "lidar": (0.015, 0.01)}
"""Largest standard deviations of a sensor's range (relative) and bearing [rad]."""
_EGO = ("ego moving", "ego not moving", "ego braking", "ego not braking", "ego accelerating", "ego not accelerating")
FARTHEST = round(1.3 * MAX_RANGE)
"""The largest distance [m] that has a word."""
AXIS_WORDS = {axis: (f"along{axis}x", f"against{axis}x") for axis in PLACE_AXES} | {0: ("ahead", "behind"), 90: ("left", "right")}
"""The words before the metres along an axis, forwards and backwards."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One fact as reported by `sensor`, a modality.

    `name` is the part of `text` without the position; `thing` is the index of the object that the statement describes, if any.
    """

    sensor: str
    text: str
    name: str
    thing: int | None = None


def describe(truth: SceneTruth, rig: Rig, rng: np.random.Generator, noise: float = 0.0) -> list[Statement]:
    """What each sensor of `rig` reports about a scene, in random order; the sensor is the last word of each statement.

    "moving red car front left 13m ahead12 along30x13 along60x10 left5 ... camera", "ego turning left imu", "traffic light red
    camera". What camera and lidar both see is stated twice, as with real sensors. `noise` (0 to 1) scales the error of each
    sensor's positions; with 0 every answer that `needs` permits follows from the statements, up to rounding to whole metres.
    """
    graph = SceneGraph(truth, rig)
    statements = []
    for sensor in _NOISE:
        for index in members(graph.seen[sensor]):
            place = _noisy_position(graph, index, sensor, rng, noise)
            name = object_name(graph, index, sensor)
            statements.append(Statement(sensor, object_text(graph, index, sensor, place), name, index))
        if graph.sees[sensor]:
            statements += [Statement(sensor, f"{fact} {sensor}", fact) for fact in motion_facts(truth)["moving"]]
    if rig.imu:
        statements += [Statement("imu", f"{fact} imu", fact) for facts in motion_facts(truth).values() for fact in facts]
    if graph.light_clear:
        statements.append(Statement("camera", traffic_light_text(graph), traffic_light_text(graph)))
    return [statements[index] for index in rng.permutation(len(statements))]


def description_words() -> list[str]:
    """Pieces of text that hold every word of a description beyond those of questions and answers."""
    places = [f"{side}{metres}" for sides in AXIS_WORDS.values() for side in sides for metres in range(FARTHEST + 1)]
    return [*_EGO, *TEXT_SENSORS, "traffic light", *(f"{metres}m" for metres in range(FARTHEST + 1)), *places]


def motion_facts(truth: SceneTruth) -> dict[str, list[str]]:
    """The stated facts of the ego motion, by kind; empty where the motion is ambiguous."""
    facts = {
        "turn": scene_graph.turn(truth.ego),
        "moving": _yes_no("moving", scene_graph.moving(truth.ego)),
        "braking": _yes_no("braking", scene_graph.speed_change(truth.ego, -1.0)),
        "accelerating": _yes_no("accelerating", scene_graph.speed_change(truth.ego, 1.0)),
    }
    return {kind: [] if fact is None else [f"ego {fact}"] for kind, fact in facts.items()}


def traffic_light_text(graph: SceneGraph) -> str:
    """The statement of a camera about the traffic light."""
    return f"traffic light {graph.light.state} camera"


def _yes_no(word: str, value: bool | None) -> str | None:
    return None if value is None else word if value else f"not {word}"


def object_text(graph: SceneGraph, index: int, sensor: str, place: tuple[float, float] | None = None) -> str:
    """The statement of `sensor`, camera or lidar, about an object: at `place`, x and y [m], or at its true position."""
    x, y = place or graph.objects[index].position[:2]
    return f"{object_name(graph, index, sensor)} {direction(x, y)} {round(math.hypot(x, y))}m {_place_words(x, y)} {sensor}"


def object_name(graph: SceneGraph, index: int, sensor: str) -> str:
    """The noun phrase of `sensor` for an object: "moving red car"."""
    item = graph.objects[index]
    coloured = sensor == "camera" and item.category in VEHICLES and item.colour in QUESTION_COLOURS
    status = item.status if graph.statuses.get(item.status, 0) >> index & 1 else "any"
    return noun(status, f"{item.colour} {item.category}" if coloured else item.category)


def _place_words(x: float, y: float) -> str:
    along = {axis: x * math.cos(math.radians(axis)) + y * math.sin(math.radians(axis)) for axis in PLACE_AXES}
    return " ".join(f"{AXIS_WORDS[axis][metres < 0]}{round(abs(metres))}" for axis, metres in along.items())


def _noisy_position(graph: SceneGraph, index: int, sensor: str, rng: np.random.Generator, noise: float) -> tuple[float, float]:
    far, aside = (noise * sigma for sigma in _NOISE[sensor])
    x, y, _ = graph.objects[index].position
    distance = math.hypot(x, y) * math.exp(far * float(np.clip(rng.standard_normal(), -2, 2)))
    bearing = math.atan2(y, x) + aside * rng.standard_normal()
    return distance * math.cos(bearing), distance * math.sin(bearing)
