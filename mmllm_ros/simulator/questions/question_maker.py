# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions with true answers about one moment of a drive. The same truth and generator state give the same questions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from random import Random

import numpy as np

from ...datatypes import BadInput, Question
from ...rig import Rig
from ..truth import CATEGORIES, STATUSES, SceneTruth
from .answer_balance import BlindBaseline, shipped_blind_baseline
from .everyday import CANNOT_TELL, LANGUAGES, reword_all
from .nouns import plural
from .programs import DISTANCES, MAX_COUNT, needs, run, text
from .proposals import LIGHT_STATES, QUESTION_COLOURS, TURNS, propose
from .scene_graph import DIRECTIONS, STATUSES_OF, SceneGraph
from .templates import BY_TYPE, TEMPLATES, Template
from .text_description import description_words

NUSCENES_ANSWERS = (*(str(number) for number in range(MAX_COUNT + 1)), "yes", "no", *CATEGORIES, *STATUSES)
"""The thirty answers of NuScenes-QA."""
ANSWERS = (*NUSCENES_ANSWERS, *TURNS, *(name for name, _ in DISTANCES), *dict.fromkeys((*LIGHT_STATES, *QUESTION_COLOURS)))
"""Every answer that a question can have."""
EVERYDAY_ANSWERS = (
    *ANSWERS, CANNOT_TELL, "faster", "slower", "same speed", "day", "dusk", "night",
    *(f"{where}, {distance}" for where in DIRECTIONS for distance, _ in DISTANCES),
)  # fmt: skip
"""Every answer that a question in everyday language, of any kind, can have."""
SPLITS = ("train", "val", "test")
TYPE_SHARES = {
    "exist": 0.15, "count": 0.15, "object": 0.12, "status": 0.15, "comparison": 0.11, "ego": 0.12, "distance": 0.08, "light": 0.12
}  # fmt: skip
"""The share of each question type, where the scene permits it."""

_TRIES = 6
_CANDIDATES = 16
_DRAWS = 40
_EASY_COUNT = 5
_HARD_COUNTS = 0.1
_KNOWN = frozenset(ANSWERS)
_SLOT = re.compile(r"\{(\w+)\}")


def ask(
    truth: SceneTruth,
    rig: Rig,
    rng: np.random.Generator,
    count: int,
    split: str = "train",
    baseline: BlindBaseline | None = None,
    seed: int = 0,
    shares: Mapping[str, float] = TYPE_SHARES,
    language: str = "template",
) -> list[Question]:
    """At most `count` different questions about objects that the sensors of `rig` can show; fewer where the scene permits fewer.

    The test split also uses held-out wordings. `baseline` is updated with every question and so balances a whole data set;
    without it, the shipped baseline is used and not updated. `seed` is recorded in the questions; `shares` is the share of each
    question type. `language` (everyday.LANGUAGES) changes the wording only: programs and answers stay. Raises BadInput for an
    unknown split or language.
    """
    if language not in LANGUAGES:
        raise BadInput(f"language {language!r} is not one of {list(LANGUAGES)}")
    if split not in SPLITS:
        raise BadInput(f"split {split!r} is not one of {list(SPLITS)}")
    graph = SceneGraph(truth, rig)
    random = Random(int(rng.integers(2**63)))
    types = list(shares)
    asked: dict[str, Question] = {}
    for _ in range(3 * count):
        if len(asked) >= count:
            break
        kind = random.choices(types, list(shares.values()))[0]
        for _ in range(_TRIES):
            question = _one(random.choice(BY_TYPE[kind]), graph, random, split, baseline, seed)
            if question is not None:
                asked.setdefault(question.question, question)
                break
    questions = list(asked.values())
    return questions if language == "template" else reword_all(questions, random.getrandbits(32), split, language)


def _one(
    template: Template, graph: SceneGraph, random: Random, split: str, baseline: BlindBaseline | None, seed: int
) -> Question | None:
    candidates = []
    # Large counts are rare, so balancing would select mostly questions about them; they are limited to a share of the draws.
    largest = MAX_COUNT if random.random() < _HARD_COUNTS else _EASY_COUNT
    for _ in range(_DRAWS):
        proposal = propose(template.name, graph, random)
        answer = run(proposal[0], graph) if proposal else None
        if answer in _KNOWN and not (answer.isdigit() and int(answer) > largest):
            candidates.append((*proposal, answer))
            if len(candidates) == _CANDIDATES or not proposal[1]:
                break
    if not candidates:
        return None
    chooser = baseline or shipped_blind_baseline()
    known = [(_features(slots), answer) for _, slots, answer in candidates]
    index = chooser.choose(template.name, known, random)
    if index is None:
        return None
    program, slots, answer = candidates[index]
    if baseline is not None:
        baseline.learn(template.name, *known[index])
    held_out = split == "test" and random.random() < 0.5
    wording = random.choice(template.held_out if held_out else template.wordings)
    details = {"template": template.name, "wording": "held out" if held_out else "known", "context": graph.truth.weather.name}
    if "where" in slots:
        details["direction"] = slots["where"]
    return Question(
        question=_SLOT.sub(lambda slot: slots[slot.group(1)], wording),
        answer=answer,
        template_type=template.type,
        num_hop=template.hop,
        sample_token=graph.truth.token,
        program=text(program),
        needs=needs(program, graph),
        seed=seed,
        details=details,
    )


def _features(slots: dict[str, str]) -> list[str]:
    """Features for the blind baseline: each slot's filling, its words, and the fillings of the first two slots together."""
    fillings = [f"{slot}={value}" for slot, value in slots.items() if slot != "things"]
    words = [f"{slot}:{word}" for slot, value in slots.items() if slot != "things" and " " in value for word in value.split()]
    return [*fillings, *words, " ".join(fillings[:2])] if len(fillings) > 1 else [*fillings, *words]


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word and mark that a question, an answer or a description can contain, as written, sorted."""
    pieces = [wording for template in TEMPLATES for wording in (*template.wordings, *template.held_out)]
    pieces = [_SLOT.sub(" ", wording) for wording in pieces]
    statuses = [status for allowed in STATUSES_OF.values() for status in allowed]
    pieces += [*ANSWERS, *DIRECTIONS, *statuses, *(plural(category) for category in (*CATEGORIES, "thing"))]
    pieces += ["thing", "of me", "the", *description_words()]
    return tuple(sorted({word for piece in pieces for word in re.findall(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]", piece)}))
