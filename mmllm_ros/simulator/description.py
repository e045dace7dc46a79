# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A scene in plain words, one phrase per fact: the context from which a language model learns to answer before it has sensors."""

from __future__ import annotations

import numpy as np

from ..rig import Rig
from . import scene_graph
from .nouns import noun
from .proposals import COLOURS
from .scene_graph import MAX_RANGE, ME, SceneGraph
from .truth import VEHICLES, SceneTruth

_EGO = ("ego moving", "ego not moving", "ego braking", "ego not braking", "ego accelerating", "ego not accelerating")


def describe(truth: SceneTruth, rig: Rig, rng: np.random.Generator) -> list[str]:
    """The facts that questions ask about, in random order, for what `rig` can show.

    "moving red car front left 13 metres at 12 ahead 5 left", "ego turning left", "ego not braking", "traffic light red".
    Every answer follows from these phrases, up to rounding to whole metres.
    """
    graph = SceneGraph(truth, rig)
    phrases = [_phrase(graph, index) for index in range(len(graph.objects))]
    turn, moving = scene_graph.turn(truth.ego), scene_graph.moving(truth.ego)
    pedals = (("braking", scene_graph.pedal(truth.ego, -1.0)), ("accelerating", scene_graph.pedal(truth.ego, 1.0)))
    if turn is not None:
        phrases.append(f"ego {turn}")
    for word, value in (("moving", moving), *pedals):
        if value is not None:
            phrases.append(f"ego {word}" if value else f"ego not {word}")
    if graph.light is not None:
        phrases.append(f"traffic light {graph.light.state}")
    return [phrases[index] for index in rng.permutation(len(phrases))]


def description_words() -> list[str]:
    """Pieces of text that hold every word of a description beyond those of questions and answers."""
    return [*_EGO, "traffic light", "metres at ahead behind left right", *(str(metres) for metres in range(int(MAX_RANGE) + 2))]


def _phrase(graph: SceneGraph, index: int) -> str:
    item = graph.objects[index]
    x, y = (round(metres) for metres in item.position[:2])
    coloured = item.category in VEHICLES and graph.shown >> index & 1 and item.colour in COLOURS
    status = item.status if graph.statuses.get(item.status, 0) >> index & 1 else "any"
    where = next(where for where in scene_graph.DIRECTIONS if graph.toward(ME, where) >> index & 1)
    name = noun(status, f"{item.colour} {item.category}" if coloured else item.category)
    place = f"{abs(x)} {'ahead' if x >= 0 else 'behind'} {abs(y)} {'left' if y >= 0 else 'right'}"
    return f"{name} {where} {round(graph.range(index))} metres at {place}"
