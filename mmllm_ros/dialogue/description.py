# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Describes what is around the robot, in one to three sentences that are composed from scored facts.

A frozen language model that was not trained to describe writes sentences that its sensors do not support. So it is asked short
internal questions in the words of the templates instead ("How many cars are to the front of me?"), all of one step in one pass
with the sensors connected. Only an answer whose calibrated probability is at least SURE becomes a part of a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..context.question_classifier import direction, strip
from ..simulator.questions.nouns import plural
from ..simulator.questions.programs import DISTANCES, MAX_COUNT
from ..simulator.questions.proposals import QUESTION_COLOURS
from ..simulator.questions.scene_graph import DIRECTIONS, SIDES, STATUSES_OF
from ..simulator.truth import CATEGORIES, VEHICLES
from .description_text import NOTHING, PLACES, Fact, sentence
from .mentions import whole_place

SURE = 0.9
"""Least probability of a fact that is stated, chosen on validation scenes (evaluation/description_accuracy.py)."""
MOST_PHRASES = 3
"""Largest number of categories that are named in one direction: the nearest, of those the likeliest."""

Score = Callable[[Sequence[str]], Sequence[Mapping[str, float]]]
"""Questions -> the probability of each answer of the answer set, in order."""

_SENTENCES = (("front",), ("front left", "front right"), ("back left", "back right", "back"))
_LOOK = (
    r"(?:describe|list|name|summari[sz]e)(?: to me)?(?: (?:what|everything|all)(?: (?:that )?(?:is|there is|you (?:can )?see))?)?"
    r"|what (?:is there|is going on|is happening|surrounds|(?:do|can) (?:i|we|you) see|is)"
)
_REQUEST = re.compile(rf"(?:{_LOOK})(?: (?P<place>.+))?")
_SCENE = r"(?:the |my |our |your )?(?:scene|surroundings|environment|area)(?: around (?:me|us|you))?"
_WHOLE = re.compile(rf"(?:describe )?what (?:do |can )?(?:i|we|you) (?:can )?see|what is (?:going on|happening)|{_SCENE}")
_TO_THE = re.compile(r"(?:that is )?to the (?:front|back|left|right)(?: left| right)? of (?:me|us|you)")
_AROUND = re.compile(rf"(?:all )?(?:around|near)(?: (?:me|us|you|here))?|here|{_SCENE}")


@dataclass(frozen=True, slots=True)
class Description:
    """Sentences, the facts that they state, and the expected share of these that are true, 0 where nothing is stated."""

    text: str
    facts: tuple[Fact, ...]
    confidence: float


def described_place(question: str) -> str | None:
    """What a question asks to be described: a direction from the robot, "left" or "right", or "" for all around.

    None where it asks for something else: "what is the car behind me doing", "what is behind the bus".
    """
    core = strip(question)
    if _WHOLE.fullmatch(core):
        return ""
    request = _REQUEST.fullmatch(core)
    place = request.group("place") if request else None
    if place is None:
        return None
    if _AROUND.fullmatch(place):
        return ""
    return (direction(core) or None) if whole_place(place) or _TO_THE.fullmatch(place) else None


def describe(
    score: Score,
    place: str = "",
    on_text: Callable[[str], None] | None = None,
    cancelled: Callable[[], None] | None = None,
    sure: float = SURE,
    colours: bool = True,
) -> Description:
    """Describe `place`, of `described_place`, from the answers of `score`.

    Args:
        on_text: gets each sentence as soon as it is known.
        cancelled: called before each step; it may raise.
        sure: least probability of a fact that is stated.
        colours: whether a sensor that shows colours is connected.
    """
    directions = SIDES.get(place, (place,)) if place else DIRECTIONS
    asked = {where: f"Are there any things to the {where} of me?" for where in directions}
    if len(directions) > 1:
        asked |= {name: f"How many {plural(name)} are there?" for name in CATEGORIES}
    seen = _ask(score, cancelled, asked)
    categories = {name: _at_least(seen[name], 1) if name in seen else 1.0 for name in CATEGORIES}
    parts, facts, sureness = [], [], []
    for group in _SENTENCES:
        there = [where for where in group if where in directions]
        stated = _facts(score, cancelled, {where: seen[where].get("yes", 0.0) for where in there}, categories, sure, colours)
        if place and not stated:
            stated = [(Fact(where, "thing", 0), (p,)) for where in there if (p := seen[where].get("no", 0.0)) >= sure]
        if stated:
            parts.append(sentence([fact for fact, _ in stated]))
            facts += [fact for fact, _ in stated]
            sureness += [probability for _, probabilities in stated for probability in probabilities]
            if on_text:
                on_text(parts[-1] if len(parts) == 1 else f" {parts[-1]}")
    if not facts:
        empty = min(seen[where].get("no", 0.0) for where in directions)
        words = PLACES.get(place, f"on my {place}" if place else "around me")
        known = empty >= sure and not place
        parts = [NOTHING] if known else [f"I cannot tell what is {words}: I am not sure of anything there."]
        facts = [Fact("", "thing", 0)] if known else []
        sureness = [empty if known else 0.0]
        if on_text:
            on_text(parts[0])
    return Description(" ".join(parts), tuple(facts), sum(sureness) / len(sureness))


def _facts(
    score: Score,
    cancelled: Callable[[], None] | None,
    directions: Mapping[str, float],
    categories: Mapping[str, float],
    sure: float,
    colours: bool,
) -> list[tuple[Fact, tuple[float, ...]]]:
    """The facts of some directions, each with the probabilities of its claims: number, then status, distance, colour."""
    asked = {
        (where, name): f"Are there any {plural(name)} to the {where} of me?"
        for where, there in directions.items()
        for name, likely in categories.items()
        if min(there, likely) >= sure
    }
    # Asked about many absent things, some answers are wrong although sure: what is stated must hold in every way of asking.
    exists = {
        (where, name): min(answers.get("yes", 0.0), directions[where], categories[name])
        for (where, name), answers in _ask(score, cancelled, asked).items()
    }
    counted = {
        (where, name): f"How many {plural(name)} are to the {where} of me?"
        for (where, name), probability in exists.items()
        if probability >= sure
    }
    facts = {}
    for (where, name), answers in _ask(score, cancelled, counted).items():
        number = max(range(MAX_COUNT + 1), key=lambda count: answers.get(str(count), 0.0))
        if number and (probability := min(exists[where, name], answers.get(str(number), 0.0))) >= sure:
            facts[where, name] = (Fact(where, name, number), (probability,))
            continue
        for least in (2, 1):
            if (probability := min(exists[where, name], _at_least(answers, least))) >= sure:
                facts[where, name] = (Fact(where, name, least, exact=False), (probability,))
                break
    return _with_details(score, cancelled, facts, sure, colours)


def _with_details(score: Score, cancelled: Callable[[], None] | None, facts: Mapping, sure: float, colours: bool) -> list:
    """The facts with what is sure of their status, distance and colour."""
    asked = {}
    for (where, name), (fact, _) in facts.items():
        asked["distance", where, name] = f"How far is the nearest {name} to the {where} of me?"
        if fact.exact and fact.number == 1:
            if name in STATUSES_OF:
                asked["status", where, name] = f"What is the status of the {name} to the {where} of me?"
            if colours and where == "front" and name in VEHICLES:
                asked["colour", where, name] = f"What colour is the {name} ahead?"
    allowed = {"distance": [name for name, _ in DISTANCES], "colour": QUESTION_COLOURS}
    detailed = dict(facts)
    for (kind, where, name), answers in _ask(score, cancelled, asked).items():
        best = max(allowed.get(kind) or STATUSES_OF[name], key=lambda answer: answers.get(answer, 0.0))
        if answers.get(best, 0.0) >= sure:
            fact, probabilities = detailed[where, name]
            detailed[where, name] = (replace(fact, **{kind: best}), (*probabilities, answers[best]))
    ranges = [name for name, _ in DISTANCES]
    nearest = sorted(detailed.values(), key=lambda item: ranges.index(item[0].distance) if item[0].distance else len(ranges))
    kept: list = []
    for item in nearest:
        if sum(fact.where == item[0].where for fact, _ in kept) < MOST_PHRASES:
            kept.append(item)
    return kept


def _ask(score: Score, cancelled: Callable[[], None] | None, questions: Mapping) -> dict:
    """The distribution of answers to each question, by the keys of `questions`."""
    if cancelled:
        cancelled()
    return dict(zip(questions, score(list(questions.values())), strict=True)) if questions else {}


def _at_least(answers: Mapping[str, float], count: int) -> float:
    return sum(answers.get(str(number), 0.0) for number in range(count, MAX_COUNT + 1))
