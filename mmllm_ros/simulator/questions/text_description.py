# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A scene in plain words, one phrase per fact and sensor: the context from which a language model learns to answer before it has
sensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...datatypes import PLACE_AXES
from ...rig import Rig
from ..truth import VEHICLES, SceneTruth
from . import scene_graph
from .nouns import noun
from .proposals import COLOURS
from .scene_graph import MAX_RANGE, SceneGraph, direction, members

OBSERVERS = ("camera", "imu", "lidar")
_BLUR = {"camera": (0.06, 0.02), "lidar": (0.015, 0.01)}
"""How unsure a sensor is, at most, of a range (share of it) and of a bearing [rad]: standard deviations."""
_EGO = ("ego moving", "ego not moving", "ego braking", "ego not braking", "ego accelerating", "ego not accelerating")
FARTHEST = round(1.3 * MAX_RANGE)
"""The largest number of metres [m] that has a word."""
AXIS_WORDS = {axis: (f"along{axis}x", f"against{axis}x") for axis in PLACE_AXES} | {0: ("ahead", "behind"), 90: ("left", "right")}
"""What comes before the metres along an axis, forwards and backwards."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One fact as `observer`, a modality, would tell it.

    `name` is what of it says no place; `thing` is the index of the object that it is about, where it is about one.
    """

    observer: str
    text: str
    name: str
    thing: int | None = None


def describe(truth: SceneTruth, rig: Rig, rng: np.random.Generator, blur: float = 0.0) -> list[Phrase]:
    """What each sensor of `rig` can tell about a scene, in random order, each phrase with its observer as its last word.

    "moving red car front left 13m ahead12 along30x13 along60x10 left5 ... camera", "ego turning left imu", "traffic light red
    camera". What camera and lidar both see is told twice, as a robot's sensors would. Each may err in its places, `blur` (0 to 1)
    says how much; with 0 every answer that `needs` permits follows from the phrases, up to rounding to whole metres.
    """
    graph = SceneGraph(truth, rig)
    phrases = []
    for observer in _BLUR:
        for index in members(graph.seen[observer]):
            place = _blurred(graph, index, observer, rng, blur)
            name = object_name(graph, index, observer)
            phrases.append(Phrase(observer, object_phrase(graph, index, observer, place), name, index))
        if graph.awake[observer]:
            phrases += [Phrase(observer, f"{fact} {observer}", fact) for fact in motion_facts(truth)["moving"]]
    if rig.imu:
        phrases += [Phrase("imu", f"{fact} imu", fact) for facts in motion_facts(truth).values() for fact in facts]
    if graph.light_clear:
        phrases.append(Phrase("camera", light_phrase(graph), light_phrase(graph)))
    return [phrases[index] for index in rng.permutation(len(phrases))]


def description_words() -> list[str]:
    """Pieces of text that hold every word of a description beyond those of questions and answers."""
    places = [f"{side}{metres}" for sides in AXIS_WORDS.values() for side in sides for metres in range(FARTHEST + 1)]
    return [*_EGO, *OBSERVERS, "traffic light", *(f"{metres}m" for metres in range(FARTHEST + 1)), *places]


def motion_facts(truth: SceneTruth) -> dict[str, list[str]]:
    """What is to be told of the ego motion, by kind; nothing where it lies between the clear cases."""
    facts = {
        "turn": scene_graph.turn(truth.ego),
        "moving": _yes_no("moving", scene_graph.moving(truth.ego)),
        "braking": _yes_no("braking", scene_graph.pedal(truth.ego, -1.0)),
        "accelerating": _yes_no("accelerating", scene_graph.pedal(truth.ego, 1.0)),
    }
    return {kind: [] if fact is None else [f"ego {fact}"] for kind, fact in facts.items()}


def light_phrase(graph: SceneGraph) -> str:
    """What a camera tells about the traffic light."""
    return f"traffic light {graph.light.state} camera"


def _yes_no(word: str, value: bool | None) -> str | None:
    return None if value is None else word if value else f"not {word}"


def object_phrase(graph: SceneGraph, index: int, observer: str, place: tuple[float, float] | None = None) -> str:
    """What `observer`, camera or lidar, tells about an object: at `place`, x and y [m], or where it truly is."""
    x, y = place or graph.objects[index].position[:2]
    return f"{object_name(graph, index, observer)} {direction(x, y)} {round(math.hypot(x, y))}m {_place_words(x, y)} {observer}"


def object_name(graph: SceneGraph, index: int, observer: str) -> str:
    """What `observer` calls an object: "moving red car"."""
    item = graph.objects[index]
    coloured = observer == "camera" and item.category in VEHICLES and item.colour in COLOURS
    status = item.status if graph.statuses.get(item.status, 0) >> index & 1 else "any"
    return noun(status, f"{item.colour} {item.category}" if coloured else item.category)


def _place_words(x: float, y: float) -> str:
    along = {axis: x * math.cos(math.radians(axis)) + y * math.sin(math.radians(axis)) for axis in PLACE_AXES}
    return " ".join(f"{AXIS_WORDS[axis][metres < 0]}{round(abs(metres))}" for axis, metres in along.items())


def _blurred(graph: SceneGraph, index: int, observer: str, rng: np.random.Generator, blur: float) -> tuple[float, float]:
    far, aside = (blur * sigma for sigma in _BLUR[observer])
    x, y, _ = graph.objects[index].position
    distance = math.hypot(x, y) * math.exp(far * float(np.clip(rng.standard_normal(), -2, 2)))
    bearing = math.atan2(y, x) + aside * rng.standard_normal()
    return distance * math.cos(bearing), distance * math.sin(bearing)
