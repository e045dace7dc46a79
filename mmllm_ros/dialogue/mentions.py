# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Finds the things and the places that a question mentions: "how many [parked cars] are there [behind me]"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import product

from ..resources import config_table

_MORE_NOUNS = (
    *("van", "vehicle", "taxi", "scooter", "cyclist", "biker", "child/children", "kid", "man/men", "woman/women"),
    *("light", "traffic light"),
)
_PRONOUNS = {
    **dict.fromkeys(("someone", "somebody", "anyone", "anybody"), "person"),
    **dict.fromkeys(("anything", "something"), "thing"),
}
_ADJECTIVES = (
    "nearest closest moving driving parked stopped walking standing sitting seated riderless ridden visible other halted waiting "
    "big small red green blue yellow white black grey silver brown orange"
)
_AFTER = (
    r"(?: (?:with|without|carrying)(?: a| an| no| any)? riders?"
    r"| (?:with|without) (?:someone|anyone|nobody|no one) on (?:it|them)"
    r"| (?:that|who|which)(?:'s| is| are| has| have| nobody is| someone is)(?: not)? "
    r"(?:moving|driving|parked|stopped|walking|standing|sitting|riding|visible|red|green|blue|yellow|white|black)"
    r"| in motion| waiting in traffic| being ridden| standing still| sitting down)?"
)
_SHORT_PLACES = {
    "left": "on my left",
    "right": "on my right",
    "front": "in front of me",
    **dict.fromkeys(("back", "rear", "behind"), "behind me"),
    **{f"{end} {side}": f"to my {end} {side}" for end in ("front", "back") for side in ("left", "right")},
}


@dataclass(frozen=True, slots=True)
class Mention:
    """A thing in a question: `start` to `end` are its words from adjectives to what follows the noun, without its article.

    `places` are the spans of the phrases in the question that say where. `before` and `after` are what is said of the thing.
    `plural` says which of its forms the question has; `pronoun` that it is a word such as "anyone", which has no article.
    """

    start: int
    end: int
    before: str
    one: str
    many: str
    after: str
    plural: bool
    pronoun: bool

    def words(self, plural: bool) -> str:
        """The thing in one of its forms, without an article."""
        return f"{self.before} {self.many if plural else self.one}{self.after}".strip()


def find_thing(question: str) -> Mention | None:
    """The first thing that `question`, in lower case, mentions and that is no part of a place ("the bus" in "behind the bus")."""
    places = find_places(question)
    for found in _thing().finditer(question):
        if not any(start <= found.start("noun") < end for start, end in places):
            noun = found.group("noun")
            one, many = _forms()[noun]
            pronoun = noun in _PRONOUNS
            before = (found.group("before") or "").strip()
            plural = noun == many and noun != one
            return Mention(found.start(), found.end(), before, one, many, found.group("after") or "", plural, pronoun)
    return None


def find_places(question: str) -> list[tuple[int, int]]:
    """The spans of the phrases of `question`, in lower case, that say where: "behind me", "to the left of the bus"."""
    return [found.span() for found in _place().finditer(question)]


def whole_place(fragment: str) -> str:
    """`fragment` as a phrase that says where, "on my left" for "the left"; empty where it is none."""
    if _place().fullmatch(fragment):
        return fragment
    short = re.sub(r"^(?:(?:on|to|at|in) )?(?:the |my |our |your )?| side$", "", fragment)
    return _SHORT_PLACES.get(short, "")


@cache
def _forms() -> dict[str, tuple[str, str]]:
    """Each form of each noun -> its singular and its plural."""
    forms = {}
    nouns = [noun for entry in config_table("everyday.yaml")["nouns"].values() for noun in (*entry["known"], *entry["held_out"])]
    for row in (*nouns, *_MORE_NOUNS):
        one, _, many = row.partition("/")
        many = many or one + "s"
        forms |= {one: (one, many), many: (one, many)}
    return forms | {word: forms[noun] for word, noun in _PRONOUNS.items()}


@cache
def _thing() -> re.Pattern:
    adjectives = "|".join(_ADJECTIVES.split())
    return re.compile(rf"(?P<before>\b(?:(?:{adjectives}) )*)\b(?P<noun>{_any(_forms())})\b(?P<after>{_AFTER})")


@cache
def _place() -> re.Pattern:
    mine, others = [], []
    for row in config_table("everyday.yaml")["directions"].values():
        for viewer, phrases in row.items():
            for phrase in (*phrases["known"], *phrases["held_out"]):
                (mine if viewer == "me" else others).extend(_spelt_out(phrase))
    # From another thing there is the same, and "next to".
    others += ["in front of {ref}", "next to {ref}", "beside {ref}", "left of {ref}", "right of {ref}", "to the left of {ref}"]
    others += ["to the right of {ref}", "on the left of {ref}", "on the right of {ref}"]
    adjectives = "|".join(_ADJECTIVES.split())
    thing = rf"(?:it|them|(?:the|a|an|that|this) (?:(?:{adjectives}) )*(?:{_any(_forms())}){_AFTER})\b"
    hour = r"at (?:my )?(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) o'clock"
    relative = "|".join(sorted({re.escape(phrase.removesuffix("{ref}")) for phrase in others}, key=len, reverse=True))
    return re.compile(rf"\b(?:(?:{relative}){thing}|(?:{hour}|{_any(mine)})\b(?! (?:the|a|an|that|this|it)\b))")


def _spelt_out(phrase: str) -> list[str]:
    """A phrase of the grammar in every person and with every choice."""
    parts = re.split(r"(\[[^\]]*\]|\{me\}|\{my\})", phrase)
    persons = {"{me}": ["me", "us", "you"], "{my}": ["my", "our", "your"]}
    options = [persons.get(part) or (part[1:-1].split("|") if part.startswith("[") else [part]) for part in parts]
    return ["".join(chosen) for chosen in product(*options)]


def _any(words: dict | list) -> str:
    return "|".join(re.escape(word) for word in sorted(set(words), key=len, reverse=True))
