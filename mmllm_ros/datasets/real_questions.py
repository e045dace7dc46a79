# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about labelled real frames, made from their boxes by the simulator's question maker.

Only what the labels can answer is asked: nothing about light, colours or the vehicle's own motion, which boxes do not tell; about
statuses only of categories of which every visible object has one; about a direction from the vehicle only where all of it is
labelled; and no sets that an object of unknown class could belong to. Sensors are cropped to the labelled region
(real_frames.py), so a question about the whole scene is about what is labelled.
"""

from __future__ import annotations

import math

import numpy as np

from ..datatypes import Question
from ..simulator.questions.programs import Program, parse
from ..simulator.questions.question_maker import TYPE_SHARES, ask
from ..simulator.questions.scene_graph import DIRECTIONS, MAX_RANGE, MIN_RETURNS, STATUSES_OF, SceneGraph
from ..simulator.truth import CATEGORIES, CYCLES, VEHICLES, SceneObject
from .real_frames import RealFrame

ASKED = {kind: share for kind, share in TYPE_SHARES.items() if kind not in ("ego", "light")}
"""How often each type is asked; types that boxes cannot answer are left out."""
_SPARE = 4
"""So many times more questions are drawn than are kept, for some cannot be answered by the labels."""
_MIDDLES = dict(zip(DIRECTIONS, (0.0, 60.0, -60.0, 120.0, -120.0, 180.0)))
_HALF = math.radians(30.0)


def ask_frame(frame: RealFrame, count: int, seed: int = 0) -> list[Question]:
    """At most `count` questions about `frame`, the same for the same seed; fewer where its labels permit fewer."""
    graph = SceneGraph(frame.truth, frame.rig)
    rng = np.random.default_rng([seed, *frame.truth.token.encode()])
    drawn = ask(frame.truth, frame.rig, rng, _SPARE * count, "test", seed=seed, shares=ASKED)
    check = _Answerable(graph, frame)
    return [question for question in drawn if check(parse(question.program))][:count]


class _Answerable:
    """Whether the labels of one frame suffice to answer a program."""

    def __init__(self, graph: SceneGraph, frame: RealFrame) -> None:
        told = dict.fromkeys(CATEGORIES, True)
        for item in graph.objects:
            told[item.category] &= item.status in STATUSES_OF.get(item.category, ("",))
        self._told = told
        self._sectors = {where for where in DIRECTIONS if frame.region.holds_sector(math.radians(_MIDDLES[where]), _HALF)}
        self._unsure = {"thing"} if any(map(_could_be_seen, (*frame.unknown, *frame.others))) else set()
        if any(map(_could_be_seen, frame.unknown)):
            self._unsure |= {*VEHICLES, *CYCLES}

    def __call__(self, program: Program | str) -> bool:
        if isinstance(program, str):
            return True
        if program[0] == "pick" and not self._pick(*program[1:]):
            return False
        return all(self(part) for part in program[1:])

    def _pick(self, status: str, category: str, *relations: Program) -> bool:
        if category in self._unsure:
            return False
        if any(
            relation[:1] == ("toward",) and relation[2] == ("me",) and relation[1] not in self._sectors for relation in relations
        ):
            return False
        if status == "any" and not any(relation[0] == "alike" for relation in relations):
            return True
        meant = [category] if category != "thing" else list(self._told)
        return all(self._told[name] for name in meant)


def _could_be_seen(item: SceneObject) -> bool:
    near = math.hypot(*item.position[:2]) <= MAX_RANGE
    return near and (item.returns >= MIN_RETURNS or max(item.pixels.values(), default=0) > 0)
