# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Programs over a scene graph: the meaning of a question, its answer, and the sensors that the answer needs.

A program is a nested tuple ("operation", argument, ...); its readable form is `count(pick(moving, car, toward(front, me)))`.

    pick(status, category, relation ...)  a set: `any` status, `thing` as any category
    toward(direction, object), alike(object)  relations; alike = same status, the object itself excluded
    the(set), nearest(set), me()          an object; `the` is undefined unless the set has exactly one
    exist(set), count(set), category(object), status(object), same(object, object), distance(object), colour(object),
    light(), turn(), moving(), accelerating(), braking(), is(answer, word)  the answer
    where(object), closer(object, object), in_way(set), free(), pace(), daylight(), fog(), rain()  asked in everyday language
"""

from __future__ import annotations

from collections.abc import Callable

from . import scene_graph
from .path import in_the_way
from .scene_graph import DIRECTIONS, ME, STATUSES_OF, SceneGraph, members

Program = tuple

MAX_COUNT = 10
DISTANCES = (("under 5 metres", 5.0), ("5 to 10 metres", 10.0), ("10 to 20 metres", 20.0), ("over 20 metres", float("inf")))
DISTANCE_MARGIN = 0.5
"""A distance this close [m] to the edge of a bin has no clear answer."""

CLOSER_MARGIN = 1.0
"""Of two objects whose distances differ by less [m] neither is clearly the closer one."""


class Undefined(Exception):
    """The program has no answer in this scene: "the" car where there are two."""


def text(program: Program | str) -> str:
    """The readable form of a program."""
    if isinstance(program, str):
        return program
    return f"{program[0]}({', '.join(text(argument) for argument in program[1:])})"


def parse(readable: str) -> Program | str:
    """The program of a readable form; a word is itself. The inverse of `text`."""
    name, opened, rest = readable.partition("(")
    if not opened:
        return readable
    arguments, depth, start = [], 0, 0
    for place, mark in enumerate(rest):
        depth += (mark == "(") - (mark == ")")
        if (mark == "," and depth == 0) or depth < 0:
            arguments.append(rest[start:place].strip())
            start = place + 1
    return (name, *(parse(argument) for argument in arguments if argument))


def object_sets(program: Program, graph: SceneGraph) -> tuple[list[int], list[int]]:
    """Sets of objects in the order of evaluation: those that relations refer to, then those that the answer is read from."""
    if program[0] == "is":
        return object_sets(program[1], graph)
    if program[0] in ("exist", "count", "in_way"):
        return _referred(program[1], graph), [_set(graph, program[1])]
    if program[0] == "free":
        return [], [graph.toward(ME, "front")]
    objects = [part for part in program[1:] if isinstance(part, tuple) and part[0] in ("the", "nearest")]
    first = [reference for item in objects for reference in _referred(item[1], graph)]
    return first, [1 << _object(graph, item) for item in objects]


def _referred(chosen: Program, graph: SceneGraph) -> list[int]:
    references = [relation[-1] for relation in chosen[3:] if relation[-1] != ("me",)]
    return [1 << _object(graph, reference) for reference in references]


def run(program: Program, graph: SceneGraph) -> str | None:
    """The answer, or None where the program has none in this scene."""
    try:
        return _ANSWERS[program[0]](graph, *program[1:])
    except Undefined:
        return None


def presuppositions_hold(program: Program, graph: SceneGraph) -> bool:
    """Whether a program's presuppositions hold: each object that it refers to exists once, and so does the traffic light."""
    try:
        _references(program, graph)
    except Undefined:
        return False
    return _operation(program) != "light" or graph.light is not None


def _operation(program: Program) -> str:
    """The operation that gives the answer; for `is`, that of its argument."""
    return _operation(program[1]) if program[0] == "is" else program[0]


def needs(program: Program, graph: SceneGraph) -> tuple[tuple[str, ...], ...]:
    """The modality sets that can each answer a program that has an answer here; empty when no set can."""
    operation = _operation(program)
    if operation in ("daylight", "fog", "rain"):
        return (("camera",),) if graph.rig.cameras else ()
    if operation in ("in_way", "free"):
        chosen = graph.everything if operation == "free" else _set(graph, program[1])
        return tuple((modality,) for modality in ("camera", "lidar") if _sees_way(graph, chosen, modality))
    if operation in ("turn", "accelerating", "braking", "moving", "pace"):
        sets = [("imu",)] if graph.rig.imu else []
        if operation == "moving":
            sets += [(modality,) for modality in ("camera", "lidar") if graph.sees[modality]]
        return tuple(sorted(sets))
    if operation == "light":
        return (("camera",),) if graph.light_clear else ()
    single = tuple((modality,) for modality in ("camera", "lidar") if _suffices(program, graph, (modality,)))
    if operation == "colour":
        return tuple(kept for kept in single if kept == ("camera",))
    joint = ("camera", "lidar")
    return single or ((joint,) if _suffices(program, graph, joint) else ())


def _suffices(program: Program, graph: SceneGraph, modalities: tuple[str, ...]) -> bool:
    """Whether the modalities together clearly see every object that the answer depends on."""
    seen = 0
    for modality in modalities:
        seen |= graph.seen[modality]
    if any(not seen >> reference & 1 for reference in _references(program, graph)):
        return False
    operation, chosen = _whole_set(program)
    if operation is None:
        return True
    matches = _set(graph, chosen)
    if operation == "exist" and matches:
        return bool(matches & seen)
    # "No", a count and "nearest" also depend on complete coverage and on every object that could have matched.
    where = next((part[1] for part in chosen[3:] if part[0] == "toward" and part[2] == ("me",)), None)
    if not any(graph.covers(modality, where) and graph.sees[modality] for modality in modalities):
        return False
    if operation == "nearest":
        return True
    relations = tuple(part for part in chosen[3:] if part[0] == "toward")
    could_match = _set(graph, ("pick", "any", chosen[2], *relations)) or _set(graph, ("pick", "any", "thing", *relations))
    return not could_match & ~seen


def _sees_way(graph: SceneGraph, chosen: int, modality: str) -> bool:
    """Whether a modality clearly sees one of a set in the way or, where none is, covers the front and sees well."""
    blocking = [index for index in members(chosen) if in_the_way(graph.objects[index])]
    if blocking:
        return any(graph.seen[modality] >> index & 1 for index in blocking)
    return graph.covers(modality, "front") and graph.sees[modality]


def _whole_set(program: Program) -> tuple[str | None, Program]:
    """The operation that depends on a whole set instead of on single objects, and that set."""
    for part in program[1:]:
        if isinstance(part, tuple):
            if part[0] != "pick":
                operation, chosen = _whole_set(part)
                if operation is not None:
                    return operation, chosen
            elif program[0] in ("exist", "count", "nearest"):
                return program[0], part
    return None, ()


def _references(program: Program | str, graph: SceneGraph) -> list[int]:
    """The objects that a program refers to with `the` or `nearest`."""
    if isinstance(program, str):
        return []
    found = [_object(graph, program)] if program[0] in ("the", "nearest") else []
    return found + [reference for part in program[1:] for reference in _references(part, graph)]


def _set(graph: SceneGraph, program: Program) -> int:
    _, status, category, *relations = program
    chosen = graph.select(status, category)
    for relation in relations:
        if relation[0] == "toward":
            chosen &= graph.toward(_object(graph, relation[2]), relation[1])
        else:
            chosen &= graph.alike(_object(graph, relation[1]))
    return chosen


def _object(graph: SceneGraph, program: Program) -> int:
    if program[0] == "me":
        return ME
    chosen = _set(graph, program[1])
    if not chosen or (program[0] == "the" and chosen & (chosen - 1)):
        raise Undefined
    return graph.nearest(chosen) if program[0] == "nearest" else members(chosen)[0]


def _status(graph: SceneGraph, program: Program) -> str:
    item = graph.objects[_object(graph, program)]
    if item.status not in STATUSES_OF.get(item.category, ()):
        raise Undefined
    return item.status


def _colour(graph: SceneGraph, program: Program) -> str:
    index = _object(graph, program)
    if not graph.in_camera >> index & 1 or not graph.objects[index].colour:
        raise Undefined
    return graph.objects[index].colour


def _distance(graph: SceneGraph, program: Program) -> str:
    metres = graph.range(_object(graph, program))
    if any(abs(metres - edge) < DISTANCE_MARGIN for _, edge in DISTANCES):
        raise Undefined
    return next(name for name, edge in DISTANCES if metres < edge)


def _light(graph: SceneGraph) -> str:
    if graph.light is None:
        raise Undefined
    return graph.light.state


def _yes_no(value: bool | None) -> str:
    if value is None:
        raise Undefined
    return "yes" if value else "no"


def _turn(graph: SceneGraph) -> str:
    return _defined(scene_graph.turn(graph.truth.ego))


def _defined(word: str | None) -> str:
    if word is None:
        raise Undefined
    return word


def _where(graph: SceneGraph, item: Program) -> str:
    """Direction and distance from the ego vehicle: "front left, 10 to 20 metres"."""
    index = _object(graph, item)
    return f"{next(d for d in DIRECTIONS if graph.toward(ME, d) >> index & 1)}, {_distance(graph, item)}"


def _closer(graph: SceneGraph, one: Program, other: Program) -> str:
    """The category of the nearer of two objects, undefined where they are about as far or of one category."""
    first, second = _object(graph, one), _object(graph, other)
    categories = [graph.objects[index].category for index in (first, second)]
    apart = graph.range(second) - graph.range(first)
    if abs(apart) < CLOSER_MARGIN or categories[0] == categories[1]:
        raise Undefined
    return categories[apart < 0]


def _blocked(graph: SceneGraph, chosen: int) -> bool | None:
    ways = [in_the_way(graph.objects[index]) for index in members(chosen)]
    return True if True in ways else None if None in ways else False


def _pace(graph: SceneGraph) -> str:
    """How the speed of the ego vehicle changed over the last second."""
    acceleration = graph.truth.ego.acceleration
    faster, slower = scene_graph.speed_change(graph.truth.ego, 1.0), scene_graph.speed_change(graph.truth.ego, -1.0)
    return "faster" if faster else "slower" if slower else _defined("same speed" if abs(acceleration) <= 0.3 else None)


def _level(value: float) -> bool | None:
    """Whether there is fog or rain, None between the clear cases."""
    return True if value > 0.35 else False if value < 0.1 else None


_ANSWERS: dict[str, Callable[..., str]] = {
    "exist": lambda graph, chosen: _yes_no(_set(graph, chosen) != 0),
    "count": lambda graph, chosen: str(min(_set(graph, chosen).bit_count(), MAX_COUNT)),
    "category": lambda graph, chosen: graph.objects[_object(graph, chosen)].category,
    "status": _status,
    "same": lambda graph, one, other: _yes_no(_status(graph, one) == _status(graph, other)),
    "distance": _distance,
    "colour": _colour,
    "light": _light,
    "turn": _turn,
    "moving": lambda graph: _yes_no(scene_graph.moving(graph.truth.ego)),
    "accelerating": lambda graph: _yes_no(scene_graph.speed_change(graph.truth.ego, 1.0)),
    "braking": lambda graph: _yes_no(scene_graph.speed_change(graph.truth.ego, -1.0)),
    "where": _where,
    "closer": _closer,
    "in_way": lambda graph, chosen: _yes_no(_blocked(graph, _set(graph, chosen))),
    "free": lambda graph: _yes_no(None if (way := _blocked(graph, graph.everything)) is None else not way),
    "pace": _pace,
    "daylight": lambda graph: _defined(graph.truth.weather.daylight),
    "fog": lambda graph: _yes_no(_level(graph.truth.weather.fog)),
    "rain": lambda graph: _yes_no(_level(graph.truth.weather.rain)),
    "is": lambda graph, inner, word: _yes_no(_ANSWERS[inner[0]](graph, *inner[1:]) == word),
}
