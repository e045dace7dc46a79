# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of question that NuScenes-QA does not have: where, closer, closest, on a side, in the way, pace, daylight, fog, rain.

They have everyday wordings only. Answers: EVERYDAY_ANSWERS in questions.py. Programs: programs.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np

from ...datatypes import BadInput, Question
from ...rig import Rig
from ..truth import CATEGORIES, SceneTruth
from .everyday import reword
from .nouns import any_noun, any_object, placed_object, unique
from .path import in_the_way
from .programs import CLOSER_MARGIN, Program, needs, run, text
from .scene_graph import DIRECTIONS, SIDES, STATUSES_OF, SceneGraph, members

Proposer = Callable[[SceneGraph, Random], Program | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """Its type, hops, share, and how a program is drawn; of answers not in `rare` a share `keep` is asked."""

    type: str
    hop: int
    share: float
    propose: Proposer
    rare: tuple[str, ...] = ()
    keep: float = 1.0


_DRAWS = 16
_EASY_COUNT = 5
_SOME = tuple(str(number) for number in range(1, _EASY_COUNT + 1))


def ask_kinds(
    truth: SceneTruth, rig: Rig, rng: np.random.Generator, count: int, split: str = "train", seed: int = 0
) -> list[Question]:
    """At most `count` different questions of these kinds about one moment, in everyday English; fewer where it permits fewer.

    Raises BadInput for an unknown split.
    """
    if split not in ("train", "val", "test"):
        raise BadInput(f"split {split!r} is not one of ['train', 'val', 'test']")
    graph, random = SceneGraph(truth, rig), Random(int(rng.integers(2**63)))
    names, shares = list(KINDS), [kind.share for kind in KINDS.values()]
    asked: dict[str, Question] = {}
    for _ in range(4 * count):
        if len(asked) >= count:
            break
        name = random.choices(names, shares)[0]
        found = _draw(KINDS[name], graph, random)
        if found is not None and found[0] not in asked:
            asked[found[0]] = _question(name, found, graph, random, split, seed)
    return list(asked.values())


def _draw(kind: Kind, graph: SceneGraph, random: Random) -> tuple[str, Program, str] | None:
    """A program with an answer here: of the answers that were drawn, each is as likely."""
    by_answer: dict[str, Program] = {}
    for _ in range(_DRAWS):
        program = kind.propose(graph, random)
        answer = run(program, graph) if program else None
        if answer is not None and not (answer.isdigit() and int(answer) > _EASY_COUNT):
            by_answer[answer] = program
    if not by_answer:
        return None
    answer = random.choice(list(by_answer))
    if kind.rare and answer not in kind.rare and random.random() > kind.keep:
        return None
    return text(by_answer[answer]), by_answer[answer], answer


def _question(name: str, found: tuple[str, Program, str], graph: SceneGraph, random: Random, split: str, seed: int) -> Question:
    readable, program, answer = found
    details = {"template": name, "context": graph.truth.weather.name}
    where = next((part[1] for part in _relations(program) if part[2] == ("me",)), None)
    if where is not None:
        details["direction"] = where
    kind = KINDS[name]
    return reword(
        Question("", answer, kind.type, kind.hop, graph.truth.token, readable, needs(program, graph), seed=seed, details=details),
        random,
        split,
    )


def _relations(program: Program | str) -> list[Program]:
    if isinstance(program, str):
        return []
    here = [program] if program[0] == "toward" else []
    return here + [found for part in program[1:] for found in _relations(part)]


def _where(graph: SceneGraph, random: Random) -> Program | None:
    if random.random() < 0.4:
        _, category = any_noun(graph, random, statuses=False)
        return ("where", ("nearest", ("pick", "any", category)))
    reference = unique(graph, random)
    return reference and ("where", reference[0])


def _closer(graph: SceneGraph, random: Random) -> Program | None:
    pair = [unique(graph, random), unique(graph, random)]
    if random.random() < 0.4:
        placed = placed_object(graph, random)
        pair[0] = placed and (placed[0], placed[1], placed[3])
    if None in pair or pair[0][2] == pair[1][2]:
        return None
    random.shuffle(pair)
    return ("closer", pair[0][0], pair[1][0])


def _closest(graph: SceneGraph, random: Random) -> Program | None:
    return _clear_nearest(graph, random.choice(("any", "any", "moving", "parked", "stopped")))


def _closest_toward(graph: SceneGraph, random: Random) -> Program | None:
    return _clear_nearest(graph, random.choice(("any", "any", "any", "moving")), random.choice((*DIRECTIONS, *SIDES, *SIDES)))


def _clear_nearest(graph: SceneGraph, status: str, where: str | None = None) -> Program | None:
    """The nearest thing, where none of another category is about as near."""
    relations = () if where is None else (("toward", where, ("me",)),)
    chosen = graph.select(status, "thing") & (graph.everything if where is None else graph.toward(-1, where))
    if not chosen:
        return None
    first = graph.nearest(chosen)
    for index in members(chosen):
        same = graph.objects[index].category == graph.objects[first].category
        if not same and graph.range(index) - graph.range(first) < CLOSER_MARGIN:
            return None
    return ("category", ("nearest", ("pick", status, "thing", *relations)))


def _side(operation: str) -> Proposer:
    def propose(graph: SceneGraph, random: Random) -> Program | None:
        status, category = any_noun(graph, random)
        return (operation, ("pick", status, category, ("toward", random.choice(list(SIDES)), ("me",))))

    return propose


def _count_of(graph: SceneGraph, random: Random) -> Program | None:
    category = graph.objects[any_object(graph, random)].category if graph.objects else random.choice(CATEGORIES)
    if category not in STATUSES_OF:
        return None
    return ("count", ("pick", random.choice(STATUSES_OF[category]), category))


def _status_is(graph: SceneGraph, random: Random) -> Program | None:
    placed = placed_object(graph, random) if random.random() < 0.5 else None
    reference = (placed and (placed[0], placed[1], placed[3])) or unique(graph, random, statuses=False)
    if reference is None or graph.objects[reference[2]].category not in STATUSES_OF:
        return None
    item = graph.objects[reference[2]]
    status = item.status if random.random() < 0.5 else random.choice(STATUSES_OF[item.category])
    return ("is", ("status", reference[0]), status) if status in STATUSES_OF[item.category] else None


def _in_way(graph: SceneGraph, random: Random) -> Program | None:
    blocking = [item for item in graph.objects if in_the_way(item)]
    category = random.choice(blocking).category if blocking and random.random() < 0.6 else random.choice((*CATEGORIES, "thing"))
    return ("in_way", ("pick", "any", category))


def _daylight_is(graph: SceneGraph, random: Random) -> Program | None:
    return ("is", ("daylight",), random.choice(("day", "night", "night")))


def _plain(operation: str) -> Proposer:
    return lambda graph, random: (operation,)


KINDS = {
    "where": Kind("where", 0, 0.16, _where),
    "closer": Kind("comparison", 0, 0.1, _closer),
    "closest": Kind("object", 0, 0.07, _closest),
    "closest_toward": Kind("object", 1, 0.12, _closest_toward),
    "exist_side": Kind("exist", 1, 0.08, _side("exist"), ("yes",), 0.4),
    "count_side": Kind("count", 1, 0.08, _side("count"), _SOME, 0.3),
    "count_of": Kind("count", 0, 0.06, _count_of, _SOME, 0.5),
    "status_is": Kind("status", 0, 0.09, _status_is),
    "in_way": Kind("path", 0, 0.08, _in_way, ("yes",), 0.12),
    "free": Kind("path", 0, 0.06, _plain("free"), ("no",), 0.35),
    "pace": Kind("ego", 0, 0.05, _plain("pace"), ("faster", "slower"), 0.5),
    "daylight": Kind("weather", 0, 0.03, _plain("daylight"), ("night", "dusk"), 0.5),
    "daylight_is": Kind("weather", 0, 0.02, _daylight_is),
    "fog": Kind("weather", 0, 0.02, _plain("fog"), ("yes",), 0.25),
    "rain": Kind("weather", 0, 0.02, _plain("rain"), ("yes",), 0.25),
}
"""Every kind of question of this file, by name."""
EVERYDAY_TYPES = ("where", "path", "weather")
"""Types that only these kinds have."""
