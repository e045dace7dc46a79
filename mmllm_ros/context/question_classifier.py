# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Classifies a question by its words: type, direction, and the modalities that can answer it. Rules: config/question_rules.yaml.

Beside the simulator's types there are "self" (about the robot itself, with a topic) and "out of scope" (what no sensor can tell,
or asked in words that the rules do not know). It decides which sensors are used; whether to refuse is for the language model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, lru_cache

from ..resources import config_table
from ..rig import Rig

MIDDLES = {"front": 0, "front left": 60, "back left": 120, "back": 180, "back right": -120, "front right": -60}
"""Bearing [degrees] of the middle of each direction in questions; each is 60 wide."""

OBJECTS = ("camera", "lidar", "objects")
ABLE = {
    **dict.fromkeys(("exist", "count", "object", "status", "comparison", "distance", "where", "path"), OBJECTS),
    "light": ("camera",),
    "weather": ("camera",),
    "ego": ("imu", "camera", "lidar"),
}
"""The modalities that can answer, by type; a type that is missing here needs none."""
SELF, OUT_OF_SCOPE = "self", "out of scope"
TOPICS = ("abilities", "sensors", "sensor state", "why not used", "in use", "confidence", "evidence", "history")
"""What a question about the robot itself asks for."""


SUBJECTS = {
    "ego": "how the robot moves",
    "light": "colours",
    "distance": "how far away objects are",
    "count": "how many objects there are",
    "exist": "whether objects are present",
    "comparison": "whether two objects have the same status",
    "status": "the status of objects",
    "object": "what an object is",
    "where": "where objects are",
    "path": "whether the way is free",
    "weather": "light and weather",
}
"""What a question of each type asks for, in the reasons for modalities that cannot answer it."""


@dataclass(frozen=True, slots=True)
class QuestionClass:
    """Class of a question.

    `type` is a type of the simulator, "self" or "out of scope". `direction` is the direction from the robot in the question, one
    of MIDDLES, "left" or "right", empty where there is none. `modalities` are those that can answer it, empty where none is
    needed. `topic` is one of TOPICS for "self". `sensor` is the modality whose sensor a question about the robot names, or empty.
    """

    type: str = ""
    direction: str = ""
    modalities: tuple[str, ...] = ()
    topic: str = ""
    sensor: str = ""

    def kind(self, viewed_directions: Collection[str]) -> str:
        """The row of the plan table: the type, and whether the direction is one of the cameras' `viewed_directions`."""
        if not self.direction or self.modalities != OBJECTS:
            return self.type
        side = self.direction in ("left", "right")
        parts = {f"front {self.direction}", f"back {self.direction}"} if side else {self.direction}
        return f"{self.type} in view" if parts <= set(viewed_directions) else f"{self.type} out of view"


def classify_question(question: str, way: str = "") -> QuestionClass:
    """The class of `question`, in everyday or in template wording.

    `way` is where a router sends it (latent/question_router.py): one of TOPICS, or anything else for the surroundings; empty =
    as the rules say.
    """
    core = strip(question)
    greeting = not core and re.search("[a-z]", question.lower())  # and nothing else
    if greeting or _rules()["courtesy"].fullmatch(core):
        return QuestionClass(SELF, topic="abilities")
    topic = _topic(core) if not way else way if way in TOPICS else ""
    if topic:
        return QuestionClass(SELF, topic=topic, sensor=named_sensor(core))
    kind = "" if asks_for_decision(core) or beyond_sensors(core) else question_type(core)
    if not kind:
        return QuestionClass(OUT_OF_SCOPE)
    where = "front" if kind == "path" else "" if kind in ("ego", "weather") else direction(core)
    return QuestionClass(kind, where, ABLE[kind])


@lru_cache(maxsize=256)  # each step of an answer looks at the same question
def strip(question: str) -> str:
    """A question in lower case, without contractions, greeting, politeness and the phrase that it is embedded in."""
    text = question.lower().replace("’", "'").replace("at the same time", "also").strip()
    for pattern, plain in _rules()["spellings"]:
        text = re.sub(pattern, plain, text)
    previous = None
    while text != previous:
        previous = text
        text = _rules()["greeting"].sub("", _rules()["ending"].sub("", text.strip(" ?.!,;:")))
        text = _rules()["lead_in"].sub("", text)
    return text


def question_type(core: str) -> str:
    """The type of a stripped question; empty where no rule fits."""
    return next((kind for kind, pattern in _rules()["types"] if pattern.search(core)), "")


def direction(core: str) -> str:
    """The direction from the robot that a stripped question names; empty where it names none, or one from another thing."""
    text = _rules()["tag"].sub(" ", _rules()["from_other"].sub(" ", core))
    clock = _rules()["clock"].search(text)
    if clock:
        return _rules()["hours"][clock.group(1)]
    ahead, behind = _rules()["ahead"].search(text), _rules()["behind"].search(text)
    side = "left" if re.search(r"\bleft\b", text) else "right" if re.search(r"\bright\b", text) else ""
    if ahead or behind:
        return f"{'front' if ahead else 'back'} {side}".strip()
    return side


def asks_for_decision(core: str) -> bool:
    """Whether a stripped question asks what to do, or whether it is safe: that is for the driver to decide."""
    return _rules()["decision"].search(core) is not None


def beyond_sensors(core: str) -> bool:
    """Whether a stripped question asks for what no sensor tells: by what it asks, or by words that no question has.

    An unknown word counts less where the question also names a thing that sensors show and asks what they can tell of things:
    people have more words than any list.
    """
    if _rules()["beyond"].search(core):
        return True
    words = re.findall(r"[a-z]+(?:-[a-z]+)*", re.sub(r"'s?\b", " ", core))
    unknown = sum(word not in lexicon() for word in words)
    if unknown and question_type(core) in _ROBUST and any(word in _things() for word in words):
        return unknown > len(words) / 3
    return unknown > 0


def named_sensor(core: str) -> str:
    """The modality whose sensor a stripped question names; empty where it names none."""
    return next((modality for modality, pattern in _rules()["sensors"].items() if re.search(pattern, core)), "")


@cache
def lexicon() -> frozenset[str]:
    """Every word that a question about the surroundings can have: those of both grammars in config/, and common others."""
    words = set(_rules()["more_words"].split())
    for name in ("everyday.yaml", "wordings.yaml"):
        words |= set(_words(config_table(name)))
    return frozenset(words | {word + "s" for word in words})


def _words(content: object) -> list[str]:
    if isinstance(content, dict):
        return [word for key, item in content.items() for part in (key, item) for word in _words(part)]
    if isinstance(content, list):
        return [word for item in content for word in _words(item)]
    return re.findall(r"[a-z]+(?:-[a-z]+)*", str(content).lower())


def _topic(core: str) -> str:
    return next((topic for topic, pattern in _rules()["self"] if pattern.search(core)), "")


_ROBUST = ("ego", "path", "comparison", "distance", "where", "weather")
"""Types that are told by how a question is built, whatever its other words are."""


@cache
def _things() -> frozenset[str]:
    """Words for what sensors show: the last word of each noun of the grammar, and others."""
    nouns = config_table("everyday.yaml")["nouns"]
    words = {form.split()[-1] for row in nouns.values() for noun in row["known"] for form in noun.split("/")}
    return frozenset({*words, *(word + "s" for word in words), *_rules()["things"].split()})


@cache
def _rules() -> dict:
    """The content of config/question_rules.yaml, patterns joined and compiled."""
    table = dict(config_table("question_rules.yaml"))
    stands_for = table.pop("stands_for")

    def pattern(alternatives: list[str]) -> re.Pattern:
        return re.compile(re.sub(r"<(\w+)>", lambda found: stands_for[found.group(1)], "|".join(alternatives)))

    for name in ("greeting", "ending", "lead_in", "beyond", "decision", "courtesy", "from_other", "tag", "ahead", "behind"):
        table[name] = pattern(table[name])
    for name in ("self", "types"):
        table[name] = [(kind, pattern(patterns)) for rule in table[name] for kind, patterns in rule.items()]
    table["hours"] = {hour: where for where, hours in table["hours"].items() for hour in hours}
    table["clock"] = re.compile(rf"\b({'|'.join(table['hours'])}) o'? ?clock\b")
    return table


def viewed_directions(rig: Rig) -> frozenset[str]:
    """The directions within the cameras' fields of view, except for 5 degrees at either edge."""

    def in_view(degrees: float) -> bool:
        bearing = math.radians(degrees)
        return any(abs(math.remainder(bearing - mount.bearing, math.tau)) <= mount.fov / 2 for mount in rig.cameras)

    return frozenset(direction for direction, middle in MIDDLES.items() if all(in_view(middle + step) for step in (-25, 0, 25)))
