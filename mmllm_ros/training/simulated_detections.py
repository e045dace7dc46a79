# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Detections of true scenes with the errors of real detectors, and scenes to detect: rows of parked cars and groups of people.

A drawn perception stack misses objects, reports some that are not there, confuses classes and errs in bearing and range. Scores
and class probabilities are calibrated: of the detections with a score of 0.7, seven in ten are there.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..angles import wrapped
from ..datatypes import Detection, Tokens
from ..encoders.objects import CATEGORIES, distribution, located, object_tokens
from ..encoders.proposals import COLOURS, STATUSES
from ..rig import Rig
from ..simulator.questions.scene_graph import STATUSES_OF
from ..simulator.truth import CYCLES, VEHICLES, SceneObject, SceneTruth
from .synthetic_scenes import synthetic_scene

LABELLED = 0.4
"""Share of the stacks that report what people label: every object at its place, surely."""
LABEL_SCORE, LABEL_DOUBT = 0.98, 0.01
LEAST_RETURNS, LEAST_PIXELS = 4, 8
"""An object can be detected where so many lidar returns or pixels show it."""
LEAST_SCORE = 0.15
"""A detector reports nothing that is less certain."""
TRUE_SHAPE, FALSE_SHAPE = (1.0, 8.0), (0.2, 1.5)
"""Ranges of the two parameters of the Beta distribution of a detector's scores."""
CLARITY = (1.5, 7.0)
"""Range of the clarity of classes, statuses and colours (synthetic_sensors.py)."""
TURN, SPREAD = math.radians(2.0), 0.3
"""Largest standard deviations of bearing [rad] and of the natural logarithm of the range."""
FARTHEST = 60.0
"""Farthest false detection, and farthest object of a drawn scene [m]."""
TELLS_STATUS, TELLS_COLOUR = 0.6, 0.4
"""Shares of the stacks that report these."""
NARROW, WIDE = math.radians(35.0), math.radians(90.0)
"""Range of half the field of view of a stack that does not look all around [rad]."""
ALL_AROUND = 0.5
"""Share of the stacks that do."""
PARKED, PEOPLE = (4.8, 7.0), (0.6, 2.0)
"""Ranges of the distance between neighbours in a row of cars and in a group of people [m]."""


def draw_view(rng: np.random.Generator) -> tuple[float, float]:
    """The middle and half the width [rad] of a field of view."""
    if rng.random() < ALL_AROUND:
        return 0.0, math.pi
    return (0.0 if rng.random() < 0.6 else float(rng.uniform(-math.pi, math.pi))), float(rng.uniform(NARROW, WIDE))


def cropped(truth: SceneTruth, view: tuple[float, float]) -> SceneTruth:
    """`truth` without the objects outside of a field of view, and without the traffic light, which no stack reports."""
    inside = (item for item in truth.objects if abs(wrapped(math.atan2(*item.position[1::-1]) - view[0])) <= view[1])
    return replace(truth, objects=tuple(inside), traffic_light=None)


def detected_tokens(truth: SceneTruth, view: tuple[float, float], rng: np.random.Generator) -> Tokens:
    """The tokens of what a drawn perception stack reports of `truth`."""
    return object_tokens(drawn_detections(truth, view, rng), truth.stamp, view=view)


def drawn_detections(truth: SceneTruth, view: tuple[float, float], rng: np.random.Generator) -> list[Detection]:
    """What a drawn perception stack reports of `truth`."""
    seen = [
        item
        for item in truth.objects
        if item.clear_returns >= LEAST_RETURNS or max(item.clear_pixels.values(), default=0) >= LEAST_PIXELS
    ]
    return labelled_detections(seen, rng) if rng.random() < LABELLED else _with_errors(seen, view, rng)


def labelled_detections(objects: list[SceneObject], rng: np.random.Generator) -> list[Detection]:
    """Objects as people label them; statuses and colours are labelled or not."""
    tells_status, tells_colour = rng.random() < TELLS_STATUS, rng.random() < TELLS_COLOUR
    return [
        Detection(
            LABEL_SCORE,
            distribution(CATEGORIES, {item.category: 1.0}, LABEL_DOUBT),
            *located(item.position),
            0.0,
            distribution(STATUSES, {item.status: 1.0}, LABEL_DOUBT) if item.status and tells_status else None,
            distribution(COLOURS, {item.colour: 1.0}, LABEL_DOUBT) if item.colour in COLOURS and tells_colour else None,
        )
        for item in objects
    ]


def _with_errors(objects: list[SceneObject], view: tuple[float, float], rng: np.random.Generator) -> list[Detection]:
    """With scores of density Beta(b, c), of which those of right detections are Beta(b + 1, c) and of false ones Beta(b, c + 1),
    a score is the probability that the detection is right."""
    b, c = rng.uniform(*TRUE_SHAPE), rng.uniform(*FALSE_SHAPE)
    turn, spread = TURN * rng.random() ** 2, SPREAD * rng.random() ** 2
    clarity = {name: rng.uniform(*CLARITY) for name in ("class", "status", "colour")}
    tells_status, tells_colour = rng.random() < TELLS_STATUS, rng.random() < TELLS_COLOUR
    raised = rng.choice([0.0, float(rng.uniform(-0.5, 1.0))])

    def detection(score: float, item: SceneObject) -> Detection:
        bearing, elevation, distance = located((*item.position[:2], item.position[2] + raised))
        return Detection(
            min(score, 0.99),
            _posterior(CATEGORIES, item.category, clarity["class"], rng),
            float(wrapped(bearing + turn * rng.standard_normal())),
            elevation,
            max(distance * math.exp(spread * rng.standard_normal()), 0.5),
            spread,
            _posterior(STATUSES, item.status, clarity["status"], rng) if item.status and tells_status else None,
            _posterior(COLOURS, item.colour, clarity["colour"], rng) if item.colour in COLOURS and tells_colour else None,
        )

    found = [(rng.beta(b + 1, c), item) for item in objects]
    found += [(rng.beta(b, c + 1), _false_object(view, rng)) for _ in range(rng.poisson(len(objects) * c / b))]
    return [detection(score, item) for score, item in found if score >= LEAST_SCORE]


def _posterior(names: tuple[str, ...], true: str, clarity: float, rng: np.random.Generator) -> np.ndarray:
    """Calibrated probabilities of `names` from an observation of that clarity."""
    evidence = clarity * rng.standard_normal(len(names))
    evidence[names.index(true)] += clarity**2
    shares = np.exp(evidence - evidence.max())
    return shares / shares.sum()


def _false_object(view: tuple[float, float], rng: np.random.Generator) -> SceneObject:
    bearing, distance = view[0] + view[1] * rng.uniform(-1, 1), rng.uniform(3.0, FARTHEST)
    place = distance * math.cos(bearing), distance * math.sin(bearing)
    return _object(0, str(rng.choice(CATEGORIES)), place, rng, {})


def _object(
    number: int, category: str, place: tuple[float, float], rng: np.random.Generator, shown: dict[str, int], status: str = ""
) -> SceneObject:
    """A fully visible object of random status and colour."""
    status = status or str(rng.choice(STATUSES_OF.get(category, ("",))))
    colour = str(rng.choice(COLOURS)) if category in VEHICLES else ""
    return SceneObject(
        number, category, status, (*place, 0.8), 0.0, (1.0, 1.0, 1.6), (0.0, 0.0), colour, shown, shown, 1000, 1000
    )


def crowded_scene(rng: np.random.Generator, rig: Rig, most: int = 14) -> SceneTruth:
    """A synthetic scene with one to four rows of vehicles, cones or barriers and groups of people or cycles, up to FARTHEST."""
    truth = synthetic_scene(rng, rig, most)
    shown = {mount.name: 1000 for mount in rig.cameras}
    objects = list(truth.objects)
    for _ in range(rng.integers(1, 5)):
        distance, bearing, along = rng.uniform(3.0, FARTHEST), rng.uniform(-math.pi, math.pi), rng.uniform(-math.pi, math.pi)
        x, y = distance * math.cos(bearing), distance * math.sin(bearing)
        count = int(rng.integers(2, 9))
        if rng.random() < 0.6:
            category = str(rng.choice(("car", "car", "car", "truck", "traffic cone", "barrier")))
            steps = np.cumsum(rng.uniform(*PARKED, count) if category in VEHICLES else rng.uniform(1.0, 4.0, count))
            places = [(x + step * math.cos(along), y + step * math.sin(along)) for step in steps]
            same = str(rng.choice(("parked", "moving", "stopped"))) if category in VEHICLES else ""
        else:
            category = str(rng.choice(("pedestrian", "pedestrian", "pedestrian", "bicycle", "motorcycle")))
            apart, same = rng.uniform(*PEOPLE), ""
            places = [(x + apart * dx, y + apart * dy) for dx, dy in rng.standard_normal((count, 2))]
        for place in places:
            kind = "truck" if category == "car" and rng.random() < 0.1 else category
            if 2.0 < math.hypot(*place) < FARTHEST:
                objects.append(_object(len(objects), kind, place, rng, shown, same if category in (*VEHICLES, *CYCLES) else ""))
    return replace(truth, objects=tuple(objects), traffic_light=None)
