# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random questions for a template: a program and the words that fill the template's slots."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ..truth import VEHICLES
from .nouns import ALL_STATUSES, Slots, any_direction, any_noun, noun, place_of, placed_object, plural, unique
from .programs import Program
from .scene_graph import ME, SceneGraph, members

QUESTION_COLOURS = ("black", "white", "red", "blue", "green", "yellow")
"""The colours of the questions, in the order of the random draws; encoders/proposals.py has them in the order of the tokens."""
LIGHT_STATES = ("red", "yellow", "green")
TURNS = ("turning left", "turning right", "going straight")

# An object that stands or sits is always a pedestrian, so the question would contain its answer.
_OBJECT_STATUSES = ("moving", "stopped", "parked", "with rider", "without rider")
# Only categories with the same statuses are compared; otherwise the answer is always "no".
_COMPARABLE = ((*VEHICLES, "pedestrian"), ("bicycle", "motorcycle"))

Proposal = tuple[Program, Slots]


def propose(name: str, graph: SceneGraph, random: Random) -> Proposal | None:
    """One random question of the template `name`; None when the draw has no meaning in this scene."""
    return _PROPOSALS[name](graph, random)


def _whole(operation: str) -> Callable[[SceneGraph, Random], Proposal | None]:
    def proposal(graph: SceneGraph, random: Random) -> Proposal | None:
        status, category = any_noun(graph, random, thing=operation != "distance")
        if operation == "count" and (status, category) == ("any", "thing"):
            return None
        return _about_set(operation, status, category), _words(status, category)

    return proposal


def _toward(operation: str) -> Callable[[SceneGraph, Random], Proposal | None]:
    def proposal(graph: SceneGraph, random: Random) -> Proposal | None:
        place = (("me",), "me", ME) if operation == "distance" else place_of(graph, random)
        if place is None:
            return None
        status, category = any_noun(graph, random, statuses=operation != "distance")
        where = any_direction(graph, random)
        return _about_set(operation, status, category, ("toward", where, place[0])), {
            **_words(status, category),
            "where": where,
            "place": f"of {place[1]}",
        }

    return proposal


def _there(operation: str) -> Callable[[SceneGraph, Random], Proposal | None]:
    def proposal(graph: SceneGraph, random: Random) -> Proposal | None:
        reference = unique(graph, random)
        if reference is None:
            return None
        status, category = any_noun(graph, random)
        where = any_direction(graph, random)
        return _about_set(operation, status, category, ("toward", where, reference[0])), {
            **_words(status, category),
            "where": where,
            "ref": reference[1],
        }

    return proposal


def _alike(operation: str) -> Callable[[SceneGraph, Random], Proposal | None]:
    def proposal(graph: SceneGraph, random: Random) -> Proposal | None:
        reference = unique(graph, random, statuses=False)
        if reference is None or graph.objects[reference[2]].status not in ALL_STATUSES:
            return None
        group = next(group for group in _COMPARABLE if graph.objects[reference[2]].category in group)
        category = random.choice((*group, "thing"))
        return _about_set(operation, "any", category, ("alike", reference[0])), {**_words("any", category), "ref": reference[1]}

    return proposal


def _about_set(operation: str, status: str, category: str, *relations: Program) -> Program:
    chosen = ("pick", status, category, *relations)
    return ("distance", ("nearest", chosen)) if operation == "distance" else (operation, chosen)


def _words(status: str, category: str) -> Slots:
    return {"thing": noun(status, category), "things": noun(status, plural(category))}


def _object(graph: SceneGraph, random: Random) -> Proposal | None:
    status = random.choice(_OBJECT_STATUSES)
    return ("category", ("the", ("pick", status, "thing"))), _words(status, "thing")


def _object_toward(graph: SceneGraph, random: Random) -> Proposal | None:
    place = place_of(graph, random)
    if place is None:
        return None
    status, where = random.choice(("any", *_OBJECT_STATUSES)), any_direction(graph, random)
    chosen = ("pick", status, "thing", ("toward", where, place[0]))
    return ("category", ("the", chosen)), {**_words(status, "thing"), "where": where, "place": f"of {place[1]}"}


def _object_both(graph: SceneGraph, random: Random) -> Proposal | None:
    one, other = place_of(graph, random), place_of(graph, random)
    if one is None or other is None or one[2] == other[2]:
        return None
    status, d1, d2 = random.choice(("any", *_OBJECT_STATUSES)), any_direction(graph, random), any_direction(graph, random)
    chosen = ("pick", status, "thing", ("toward", d1, one[0]), ("toward", d2, other[0]))
    return ("category", ("the", chosen)), {**_words(status, "thing"), "d1": d1, "d2": d2, "r1": one[1], "r2": other[1]}


def _status(graph: SceneGraph, random: Random) -> Proposal | None:
    reference = unique(graph, random, statuses=False)
    return reference and (("status", reference[0]), {"thing": reference[1]})


def _status_toward(graph: SceneGraph, random: Random) -> Proposal | None:
    placed = placed_object(graph, random)
    return placed and (("status", placed[0]), {"thing": placed[1], **placed[2]})


def _comparison(graph: SceneGraph, random: Random) -> Proposal | None:
    return _compare(graph, unique(graph, random, statuses=False), unique(graph, random, statuses=False))


def _comparison_toward(graph: SceneGraph, random: Random) -> Proposal | None:
    placed, other = placed_object(graph, random), unique(graph, random, statuses=False)
    if placed is None:
        return None
    words = f"{placed[1]} to the {placed[2]['where']} {placed[2]['place']}"
    pair = [(placed[0], words, placed[3]), other]
    random.shuffle(pair)
    return _compare(graph, *pair)


def _compare(graph: SceneGraph, one: tuple | None, other: tuple | None) -> Proposal | None:
    if one is None or other is None or one[2] == other[2]:
        return None
    categories = {graph.objects[one[2]].category, graph.objects[other[2]].category}
    if not any(categories <= set(group) for group in _COMPARABLE):
        return None
    return ("same", one[0], other[0]), {"one": one[1], "other": other[1]}


def _ahead(graph: SceneGraph, random: Random) -> tuple[Program, str]:
    category = random.choice(("car", "car", *VEHICLES))
    return ("colour", ("nearest", ("pick", "any", category, ("toward", "front", ("me",))))), category


def _colour_ahead(graph: SceneGraph, random: Random) -> Proposal | None:
    program, category = _ahead(graph, random)
    return program, {"thing": category}


def _colour_ahead_is(graph: SceneGraph, random: Random) -> Proposal | None:
    program, category = _ahead(graph, random)
    # Half of the colours come from the scene; otherwise nearly every answer is "no".
    present = [graph.objects[index].colour for index in members(graph.select("any", category))] or QUESTION_COLOURS
    colour = random.choice(present if random.random() < 0.5 else QUESTION_COLOURS)
    return ("is", program, colour), {"thing": category, "colour": colour}


def _colour(graph: SceneGraph, random: Random) -> Proposal | None:
    reference = unique(graph, random, statuses=False)
    if reference is None or graph.objects[reference[2]].category not in VEHICLES:
        return None
    return ("colour", reference[0]), {"thing": reference[1]}


def _light_is(graph: SceneGraph, random: Random) -> Proposal | None:
    state = random.choice(LIGHT_STATES)
    return ("is", ("light",), state), {"colour": state}


def _turn_is(graph: SceneGraph, random: Random) -> Proposal | None:
    turn = random.choice(TURNS)
    return ("is", ("turn",), turn), {"turn": turn}


def _plain(operation: str) -> Callable[[SceneGraph, Random], Proposal | None]:
    return lambda graph, random: ((operation,), {})


_PROPOSALS: dict[str, Callable[[SceneGraph, Random], Proposal | None]] = {
    "exist": _whole("exist"),
    "exist_toward": _toward("exist"),
    "exist_there": _there("exist"),
    "exist_alike": _alike("exist"),
    "count": _whole("count"),
    "count_toward": _toward("count"),
    "count_there": _there("count"),
    "count_alike": _alike("count"),
    "object": _object,
    "object_toward": _object_toward,
    "object_both": _object_both,
    "status": _status,
    "status_toward": _status_toward,
    "comparison": _comparison,
    "comparison_toward": _comparison_toward,
    "distance": _whole("distance"),
    "distance_toward": _toward("distance"),
    "traffic_light": _plain("light"),
    "traffic_light_is": _light_is,
    "colour_ahead": _colour_ahead,
    "colour_ahead_is": _colour_ahead_is,
    "colour": _colour,
    "turn": _plain("turn"),
    "turn_is": _turn_is,
    "braking": _plain("braking"),
    "accelerating": _plain("accelerating"),
    "moving": _plain("moving"),
}
