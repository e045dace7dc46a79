# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Facts about what is around the robot <-> English sentences. The same grammar writes and reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..simulator.questions.programs import DISTANCES
from ..simulator.questions.proposals import QUESTION_COLOURS
from ..simulator.questions.scene_graph import DIRECTIONS
from ..simulator.truth import CATEGORIES

NOTHING = "There is nothing around me."
PLACES = {
    "front": "ahead of me",
    "front left": "to my front left",
    "front right": "to my front right",
    "back left": "to my back left",
    "back right": "to my back right",
    "back": "behind me",
}
"""The words for each direction."""

_NUMBERS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten or more")
_AT_LEAST = {1: "at least one", 2: "two or more"}
_BEFORE = {
    **{status: status for status in ("moving", "stopped", "parked", "standing")},
    "walking": "moving",
    "sitting": "not standing",
}
_AFTER = {"with rider": "with a rider", "without rider": "without a rider"}
_AWAY = {
    name: f"{name.replace('under', 'less than').replace('over', 'more than')} away" for name, _ in DISTANCES
}  # "less than 5 metres away"


@dataclass(frozen=True, slots=True)
class Fact:
    """`number` objects of a category in a direction from the robot, "" = in any; 0 of category "thing" = nothing is there.

    Where not `exact`, there are at least so many. `status`, `colour` and `distance` (of the nearest of them) are answers of the
    answer set, empty where nothing is claimed.
    """

    where: str
    category: str
    number: int
    exact: bool = True
    status: str = ""
    colour: str = ""
    distance: str = ""


def sentence(facts: Sequence[Fact]) -> str:
    """One sentence that states facts of one or several directions."""
    clauses = []
    for where in DIRECTIONS:
        phrases = [_phrase(fact) for fact in facts if fact.where == where]
        if phrases:
            several = next(fact for fact in facts if fact.where == where).number > 1
            listed = phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
            clauses.append(f"{PLACES[where]} there {'are' if several else 'is'} {listed}")
    text = "; ".join(clauses)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def facts_in(text: str) -> list[Fact]:
    """The facts that sentences of `sentence` state, in order; other sentences state none."""
    found = []
    for clause in re.split(r"[.;]\s*", text):
        if f"{clause}." == NOTHING:
            found.append(Fact("", "thing", 0))
        opening = _CLAUSE.fullmatch(clause)
        if opening is None:
            continue
        where = next(name for name, words in PLACES.items() if words == opening.group("place").lower())
        found += [_fact(where, phrase) for phrase in _PHRASE.finditer(opening.group("rest"))]
    return found


def _phrase(fact: Fact) -> str:
    if fact.number == 0:
        return "nothing"
    noun = _noun(fact.category, fact.number)
    words = [_before(fact), fact.colour, noun, _AFTER.get(fact.status, "")]
    body = " ".join(word for word in words if word)
    number = _NUMBERS[fact.number] if fact.exact else _AT_LEAST[fact.number]
    if number == "a" and body[0] in "aeiou":
        number = "an"
    away = _AWAY.get(fact.distance, "")
    if away:
        away = f" {away}" if fact.exact and fact.number == 1 else f" (the nearest {away})"
    return f"{number} {body}{away}"


def _before(fact: Fact) -> str:
    words = [word for word, status in _BEFORE.items() if status == fact.status]
    return words[fact.category == "pedestrian" and len(words) > 1] if words else ""


def _noun(category: str, number: int) -> str:
    return category if number == 1 else category + ("es" if category.endswith("s") else "s")


def _fact(where: str, phrase: re.Match) -> Fact:
    if phrase.group(0) == "nothing":
        return Fact(where, "thing", 0)
    number = phrase.group("number")
    exact = number not in _AT_LEAST.values()
    noun = phrase.group("noun")
    before, after, away = phrase.group("before"), phrase.group("after"), phrase.group("away")
    return Fact(
        where,
        _CATEGORY[noun],
        _NUMBERS.index("a" if number == "an" else number) if exact else _key(_AT_LEAST, number),
        exact,
        _BEFORE[before] if before else _key(_AFTER, after) if after else "",
        phrase.group("colour") or "",
        _key(_AWAY, away) if away else "",
    )


def _key(table: dict, words: str):
    return next(key for key, value in table.items() if value == words)


_CATEGORY = {_noun(category, number): category for category in CATEGORIES for number in (1, 2)}


def _any(words) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_CLAUSE = re.compile(rf"(?i:(?P<place>{_any(PLACES.values())})) there (?:is|are) (?P<rest>.+)")
_PHRASE = re.compile(
    rf"\bnothing\b|\b(?P<number>an|{_any((*_NUMBERS[1:], *_AT_LEAST.values()))}) (?:(?P<before>{_any(_BEFORE)}) )?"
    rf"(?:(?P<colour>{_any(QUESTION_COLOURS)}) )?(?P<noun>{_any(_CATEGORY)})\b(?: (?P<after>{_any(_AFTER.values())}))?"
    rf"(?: (?:\(the nearest )?(?P<away>{_any(_AWAY.values())}))?"
)
