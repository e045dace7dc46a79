# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about rendered frames, asked before training: each with its text, its answer, and the tokens it should be read from.

A pretrained LLM reads a text slowly, so texts are few and used for many frames: a program has one template wording and a fixed
number of everyday wordings, and a shard may bring only so many new texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import torch

from ..angles import wrapped
from ..datatypes import Question
from ..latent.duplicate_suppression import BEARING_UNIT, LEAST_RANGE, RANGE_UNIT
from ..rig import Rig
from ..simulator.questions.everyday import reword
from ..simulator.questions.out_of_scope import out_of_scope
from ..simulator.questions.programs import Program, object_sets, parse
from ..simulator.questions.question_maker import ask
from ..simulator.questions.scene_graph import SceneGraph, members
from ..simulator.truth import SceneTruth
from .connectors import TokenTable

SHARES = {
    "exist": 0.15, "count": 0.18, "object": 0.11, "status": 0.15, "comparison": 0.10, "ego": 0.08, "distance": 0.08, "light": 0.15
}  # fmt: skip
"""How often each type is asked in training: counts and colours, which are learned late, more often than in a test."""
EVERYDAY_WORDINGS = 2
"""Everyday wordings of one program, beside its template wording."""
REFUSED = 0.1
"""Share of questions that are out of scope."""
LOOKS = 2
"""How many sets of objects a question may refer to, and be answered from."""
FARTHEST_MATCH = 1.5
"""How many units of distance (latent/duplicate_suppression.py) a token may be away from the object that it shows."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One question about frame `frame` as the cameras `views` see it: `text` is its number among the texts.

    `looks` lists the tokens of each look, 2 * LOOKS of them: what the question refers to, what it is answered from. Tokens are
    numbered through the frame's modalities by name. `kind` is the type, `wording` "template" or "everyday", and whether held out.
    """

    frame: int
    views: tuple[int, ...]
    text: int
    answer: str
    looks: tuple[tuple[int, ...], ...]
    kind: str
    wording: str


class Texts:
    """Distinct questions, numbered in the order of their first use."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}
        self._templates: dict[str, str] = {}

    def template(self, question: Question) -> str:
        """The template wording that the program of `question` had first."""
        return self._templates.setdefault(question.program, question.question)

    def find(self, text: str, room: bool) -> int | None:
        """The number of `text`; a new one gets a number where there is `room`, else None."""
        if text not in self._numbers:
            if not room:
                return None
            self._numbers[text] = len(self.all)
            self.all.append(text)
        return self._numbers[text]


def wordings(question: Question, split: str) -> list[Question]:
    """The template wording of a question's program and its everyday wordings, always the same for one program."""
    randoms = [Random(f"{question.program} {number}") for number in range(EVERYDAY_WORDINGS)]
    return [question, *(reword(question, random, split) for random in randoms)]


def prepare(
    truths: Sequence[SceneTruth],
    tables: Mapping[str, TokenTable],
    rig: Rig,
    views: Sequence[Sequence[int]],
    each: int,
    texts: Texts,
    new_texts: int,
    seed: int,
    split: str = "train",
    kinds: Callable[..., list[Question]] | None = None,
) -> list[Prepared]:
    """Ask at most `each` questions about each frame as each of `views` (numbers of cameras) shows it.

    At most `new_texts` of them bring a new text. The truths are those of the frames of `tables`, in order. With `kinds`,
    a function like everyday_kinds.ask_kinds, the questions are those that it asks, and none is out of scope.
    """
    rng, random = np.random.default_rng([seed, 7]), Random(seed)
    refusals = out_of_scope(random, max(8, int(new_texts * REFUSED)), split)
    limit, found = len(texts.all) + new_texts, []
    for frame, truth in enumerate(truths):
        places = {modality: table.places[frame].numpy() for modality, table in sorted(tables.items())}
        for chosen in views:
            seen = replace(rig, cameras=tuple(rig.cameras[view] for view in chosen))
            graph = SceneGraph(truth, seen)
            shown = tokens_of_objects(graph, places)
            questions = kinds(truth, seen, rng, each, split) if kinds else ask(truth, seen, rng, each, split, shares=SHARES)
            for question in questions:
                if split == "train":
                    question = replace(question, question=texts.template(question))
                options = wordings(question, split)
                random.shuffle(options)
                for option in options:
                    number = texts.find(option.question, len(texts.all) < limit)
                    if number is not None:
                        program = parse(option.program)
                        looks = tuple(tuple(sorted(look)) for look in _looks(program, graph, shown, tables))
                        found.append(_prepared(frame, chosen, number, option, looks))
                        break
            for _ in range(0 if kinds else rng.binomial(each, REFUSED)):
                refusal = random.choice(refusals)
                number = texts.find(refusal.question, len(texts.all) < limit)
                if number is not None:
                    found.append(_prepared(frame, chosen, number, refusal, ((),) * 2 * LOOKS))
    return found


def _prepared(frame: int, views: Sequence[int], number: int, question: Question, looks: tuple) -> Prepared:
    language = question.details.get("language", "template")
    wording = f"{language} {question.details.get('wording', 'known')}"
    return Prepared(frame, tuple(views), number, question.answer, looks, question.template_type, wording)


def tokens_of_objects(graph: SceneGraph, places: Mapping[str, np.ndarray]) -> dict[int, set[int]]:
    """The tokens that show each object of `graph`, by its index, and the traffic light, as -1. Tokens are numbered through."""
    positions = [item.position for item in graph.objects]
    if graph.light is not None:
        positions.append(graph.light.position)
    shown: dict[int, set[int]] = {}
    start = 0
    for modality, place in places.items():
        if positions and modality != "imu":
            x, y, _ = np.array(positions).T
            turn = wrapped(np.arctan2(y, x)[:, None] - place[None, :, 0])
            far = np.log(np.maximum(np.hypot(x, y), LEAST_RANGE))[:, None] - np.log(np.maximum(place[None, :, 2], LEAST_RANGE))
            apart = np.hypot(turn / BEARING_UNIT, far / RANGE_UNIT)
            apart[:, place[:, 2] == 0] = np.inf
            nearest = apart.argmin(0)
            for token in np.flatnonzero(apart.min(0) <= FARTHEST_MATCH):
                index = int(nearest[token])
                light = graph.light is not None and index == len(positions) - 1
                shown.setdefault(-1 if light else index, set()).add(start + int(token))
        start += len(place)
    return shown


def _looks(
    program: Program, graph: SceneGraph, shown: Mapping[int, set[int]], tables: Mapping[str, TokenTable]
) -> list[set[int]]:
    """The tokens of each look: LOOKS sets that are referred to, LOOKS that are answered from."""
    operation = program[1][0] if program[0] == "is" else program[0]
    if operation == "light":
        return [set(), set(), shown.get(-1, set()), set()]
    if operation in ("turn", "braking", "accelerating", "moving", "pace"):
        counts = [len(table.sources) for _, table in sorted(tables.items())]
        names = sorted(tables)
        start = sum(counts[: names.index("imu")]) if "imu" in names else 0
        return [set(), set(), set(range(start, start + counts[names.index("imu")])) if "imu" in names else set(), set()]
    both = object_sets(program, graph)
    looks = []
    for sets in both:
        tokens = [set().union(*(shown.get(index, set()) for index in members(part))) for part in sets]
        looks += [*tokens, set(), set()][:LOOKS]
    return looks


def write_prepared(path: Path, questions: Sequence[Prepared]) -> None:
    """One JSON object a line, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(asdict(question)) + "\n" for question in questions))
    part.rename(path)


def read_prepared(path: Path) -> list[Prepared]:
    """The inverse of `write_prepared`."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return [
        Prepared(**{**row, "views": tuple(row["views"]), "looks": tuple(tuple(look) for look in row["looks"])}) for row in rows
    ]


def wanted_tokens(questions: Sequence[Prepared], tokens: int) -> torch.Tensor:
    """The looks of `questions` as bool [questions, 2 * LOOKS, tokens]."""
    wanted = torch.zeros((len(questions), 2 * LOOKS, tokens), dtype=torch.bool)
    for row, question in enumerate(questions):
        for look, numbers in enumerate(question.looks):
            wanted[row, look, list(numbers)] = True
    return wanted
