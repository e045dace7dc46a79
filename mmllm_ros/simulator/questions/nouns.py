# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Noun phrases for objects: a noun, an object that a noun identifies uniquely, an object at a place relative to another."""

from __future__ import annotations

from random import Random

from ..truth import CATEGORIES
from .programs import Program
from .scene_graph import DIRECTIONS, ME, STATUSES_OF, SceneGraph, members

ALL_STATUSES = tuple(dict.fromkeys(status for statuses in STATUSES_OF.values() for status in statuses))
Slots = dict[str, str]


def plural(category: str) -> str:
    """NuScenes-QA's plural; its "buss" is used everywhere, so that one tokenizer serves its files and ours."""
    return category + "s"


def noun(status: str, category: str) -> str:
    """The words for a status and a category: `moving car`, or `car` for any status."""
    return category if status == "any" else f"{status} {category}"


def any_object(graph: SceneGraph, random: Random) -> int:
    """The index of a random object; with probability 0.5 one that a camera shows, as few rigs have cameras all around."""
    shown = members(graph.in_camera) if random.random() < 0.5 else []
    return random.choice(shown) if shown else random.randrange(len(graph.objects))


def any_direction(graph: SceneGraph, random: Random) -> str:
    """A random direction; with probability 0.5 one that the cameras cover completely."""
    return random.choice(graph.covered if graph.covered and random.random() < 0.5 else DIRECTIONS)


def any_noun(graph: SceneGraph, random: Random, statuses: bool = True, thing: bool = True) -> tuple[str, str]:
    """A status and a category; with probability 0.5 those of an object of the scene."""
    if graph.objects and random.random() < 0.5:
        item = graph.objects[any_object(graph, random)]
        category, status = item.category, item.status
    else:
        category = random.choice(CATEGORIES)
        status = random.choice(STATUSES_OF.get(category, ("any",)))
    if thing and random.random() < 0.15:
        category = "thing"
    if not statuses or random.random() < 0.5 or (category != "thing" and status not in STATUSES_OF.get(category, ())):
        status = "any"
    return (status if status in ALL_STATUSES else "any"), category


def unique(graph: SceneGraph, random: Random, statuses: bool = True) -> tuple[Program, str, int] | None:
    """An object that its category (and status) identifies uniquely: its program, its words and its index."""
    if not graph.objects:
        return None
    index = any_object(graph, random)
    item = graph.objects[index]
    choices = ["any"]
    if statuses and item.status in STATUSES_OF.get(item.category, ()):
        choices.append(item.status)
        random.shuffle(choices)
    for status in choices:
        if graph.select(status, item.category) == 1 << index:
            return ("the", ("pick", status, item.category)), noun(status, item.category), index
    return None


def place_of(graph: SceneGraph, random: Random) -> tuple[Program, str, int] | None:
    """A reference for a direction: the ego vehicle with probability 0.5."""
    if random.random() < 0.5:
        return ("me",), "me", ME
    found = unique(graph, random)
    return found and (found[0], f"the {found[1]}", found[2])


def placed_object(graph: SceneGraph, random: Random) -> tuple[Program, str, Slots, int] | None:
    """An object that its category and its direction from a reference identify uniquely: program, words, slots, index."""
    place = place_of(graph, random)
    if place is None or not graph.objects:
        return None
    index = any_object(graph, random)
    if index == place[2]:
        return None
    category = graph.objects[index].category
    where = next(where for where in DIRECTIONS if graph.toward(place[2], where) >> index & 1)
    if graph.categories[category] & graph.toward(place[2], where) != 1 << index:
        return None
    program = ("the", ("pick", "any", category, ("toward", where, place[0])))
    return program, category, {"where": where, "place": f"of {place[1]}"}, index
