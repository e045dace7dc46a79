# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everyday English for the simulator's questions: a program -> one of hundreds of wordings (grammar: config/everyday.yaml).

The grammar works on programs, not on templates: any stored question that kept its program can be reworded. Phrasings, synonyms,
greetings and the phrases in which a question is embedded have held-out parts, which only the test split uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

from ...datatypes import BadInput, Question
from ...resources import config_table
from ..truth import CYCLES, VEHICLES
from .programs import Program, parse

CANNOT_TELL = "cannot tell"
"""The answer to a question that no sensor can answer (out_of_scope.py)."""
LANGUAGES = ("template", "everyday", "mixed")
"""How questions are worded: NuScenes-QA's templates, everyday English, or one template wording in five."""
EVERYDAY_SHARE = {"template": 0.0, "everyday": 1.0, "mixed": 0.8}

_SLOT = re.compile(r"\{([^{}]*)\}")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"<([^<>/]*)/([^<>/]*)>")
_PERSONS = {
    "I": {"I": "I", "me": "me", "my": "my", "am": "am"},
    "we": {"I": "we", "me": "us", "my": "our", "am": "are"},
    "you": {"I": "you", "me": "you", "my": "your", "am": "are"},
}
_ALONE = ("light", "turn", "braking", "accelerating", "moving", "free", "pace", "daylight", "fog", "rain")
_INDIRECT, _GREETED, _POLITE, _CONTRACTED, _UPPER, _MARKED = 0.25, 0.15, 0.1, 0.6, 0.6, 0.75


def grammar() -> dict:
    """The content of config/everyday.yaml."""
    return config_table("everyday.yaml")


def reword(question: Question, random: Random, split: str = "train") -> Question:
    """The same question in everyday English; program, answer and needs stay. A question without a program stays as it is.

    Half of the questions of the test split have held-out parts. `details["language"]` is "everyday", `details["wording"]` is
    "known" or "held out", and `details["held_out"]` then says what: "wording", "words" or "wording and words".
    """
    if not question.program:
        return question
    wanted = split == "test" and random.random() < 0.5
    words, used = word(parse(question.program), random, wanted)
    details = {key: value for key, value in question.details.items() if key != "held_out"}
    details |= {"language": "everyday", "wording": "held out" if used else "known"}
    if used:
        details["held_out"] = " and ".join(sorted(used, reverse=True)) if len(used) < 2 else "wording and words"
    return replace(question, question=words, details=details)


def reword_all(questions: Iterable[Question], seed: int, split: str, language: str = "everyday") -> list[Question]:
    """Questions of one moment or of a whole stored set in another language, the same for the same seed.

    In "mixed" language four in five are reworded. Raises BadInput for an unknown language.
    """
    if language not in LANGUAGES:
        raise BadInput(f"language {language!r} is not one of {list(LANGUAGES)}")
    random = Random(f"everyday {seed}")
    return [
        reword(question, random, split)
        if random.random() < EVERYDAY_SHARE[language]
        else replace(question, details={**question.details, "language": "template"})
        for question in questions
    ]


def word(program: Program, random: Random, held_out: bool = False) -> tuple[str, set[str]]:
    """One everyday wording of a program, and which parts of it are held out: "wording" (its phrasing), "words" (synonyms).

    With `held_out` at least one part is; greetings and endings alone do not count. Raises BadInput for an unknown operation.
    """
    writer = Writer(random, held_out)
    core = writer.question(program)
    if held_out and not writer.used:
        writer.force = True
        core = writer.question(program)
    return writer.finish(core), writer.used


class Writer:
    """Draws one wording. `used` collects which held-out parts were drawn; `person` is who the robot is in this question."""

    def __init__(self, random: Random, held_out: bool = False):
        self.random, self.held_out, self.force = random, held_out, False
        self.used: set[str] = set()
        self.person = _PERSONS[random.choice(("I", "I", "we", "you"))]
        self.indirect = random.random() < _INDIRECT

    def question(self, program: Program) -> str:
        """The core of a question, with its mark if it is no question."""
        sections, slots = self._meaning(program)
        rows = [grammar()["questions"][name] for name in sections]
        if self.indirect:
            rows = [row["indirect"] for row in rows if "indirect" in row]
        known = [frame for row in rows for frame in row["known"]]
        held_out = [frame for row in rows for frame in row["held_out"]]
        core = self.fill(self._draw(known, held_out, "wording"), slots)
        if self.indirect:
            lead = grammar()["lead_ins"]
            core = self._draw(lead["known"], lead["held_out"], None).replace("{}", core)
        return core

    def finish(self, core: str) -> str:
        """Greeting, politeness, contractions, spelling, capitals and marks around a core."""
        random, table = self.random, grammar()
        mark = core[-1] if core[-1] in ".?" else "?"
        core = core.rstrip(".?")
        if random.random() < _CONTRACTED:
            for full, short in table["contractions"].items():
                # Not in "what is it?", nor in "the car ahead of you are".
                core = re.sub(rf"(?<!of )(?<!behind )\b{full}\b(?= \w)(?! it\b)", short, core)
        ending = greeting = ""
        if random.random() < _POLITE and "please" not in core:
            ending = self._draw(**table["endings"], what=None)
        if random.random() < _GREETED:
            greeting = self._draw(**table["greetings"], what=None)
        sentence = _tidy(greeting + core + ending)
        sentence = sentence[0].upper() + sentence[1:] if random.random() < _UPPER else sentence.lower()
        return sentence + (mark if random.random() < _MARKED else "")

    def fill(self, pattern: str, slots: dict[str, str | Program]) -> str:
        """A pattern with its choices drawn and its slots filled: words of the grammar, persons, and `slots`."""
        pattern = self.choices(pattern)
        plain = not re.search(r"\bare\b", pattern)
        return _SLOT.sub(lambda found: self._slot(found.group(1), slots, plain), pattern)

    def choices(self, pattern: str) -> str:
        """A pattern with one of each `[a|b]` chosen."""
        while _CHOICE.search(pattern):
            pattern = _CHOICE.sub(lambda found: self.random.choice(found.group(1).split("|")), pattern, count=1)
        return pattern

    def noun(self, status: str, category: str, form: str) -> str:
        """A noun phrase: `form` is "one", "many", "a", "any" or "the"."""
        pronoun = grammar()["pronouns"].get(f"{form} {category}")
        bare = bool(pronoun) and self.random.random() < 0.25
        if bare:
            head, form = self._draw(**pronoun, what="words"), "one"
        else:
            singular, _, plural = self._draw(**grammar()["nouns"][category], what="words").partition("/")
            head = (plural or singular + "s") if form in ("many", "any") else singular
        if status != "any":
            row = grammar()["statuses"][_group(category)][status]
            # After "someone" all that is said of it follows.
            fitting = [[p for p in row[part] if not bare or p.startswith("{n}")] for part in ("known", "held_out")]
            pattern = self._draw(*fitting, "words")
            number = 2 if form in ("many", "any") else 1
            head = _NUMBER.sub(lambda found: found.group(number), pattern).replace("{n}", head)
        if form == "a":
            return ("an " if head[0] in "aeiou" else "a ") + head
        return {"any": "any ", "the": "the "}.get(form, "") + head

    def where(self, relations: Sequence[Program], it: bool = False) -> str:
        """Where something is, by the relations `toward`; "it" for the reference where the sentence named it before."""
        places = [self._place(relation, it) for relation in relations if relation[0] == "toward"]
        return f" {self._word('and')} ".join(places) if len(places) > 1 else "".join(places)

    def _meaning(self, program: Program) -> tuple[list[str], dict]:
        operation = program[0]
        if operation == "is":
            sections, slots = self._meaning(program[1])
            return [sections[0] + "_is"], {**slots, "word": self._value(*program[1:])}
        if operation in _ALONE:
            return [operation], {}
        if operation in ("exist", "count", "in_way"):
            return self._about_set(operation, program[1])
        if operation in ("same", "closer"):
            return self._compared(program)
        if operation in ("category", "status", "colour", "distance", "where"):
            return self._about_object(operation, program[1])
        raise BadInput(f"no everyday wording for the operation {operation!r}")

    def _value(self, asked: Program, value: str) -> str:
        """What is asked whether it is so: "driving", "red"."""
        table = grammar()
        rows = {"turn": table["turns"], "daylight": table["daytimes"]}.get(asked[0])
        if asked[0] == "status":
            rows = table["adjectives"][_group(asked[1][1][2])]
        return self._draw(**rows[value], what="words") if rows else value

    def _about_set(self, operation: str, chosen: Program) -> tuple[list[str], dict]:
        _, status, category, *relations = chosen
        slots = {"noun": (status, category), "relations": relations}
        more = []
        if operation == "count":
            more = ["count_any"] if status == "any" else ["count_of"] if category != "thing" else []
        if operation == "in_way" or not relations:
            return [operation, *more], slots
        reference = relations[0][-1]
        if relations[0][0] == "alike":
            same = "same_rider" if reference[1][2] in CYCLES else "same_motion"
            return [f"{operation}_alike"], {**slots, "the ref": reference, "same": same}
        if reference == ("me",):
            return [operation, f"{operation}_where", *more], slots
        return [operation, f"{operation}_where", f"{operation}_ref"], {**slots, "the ref": reference, "a ref": reference}

    def _compared(self, program: Program) -> tuple[list[str], dict]:
        cycles = program[1][1][2] in CYCLES
        slots = {"the one": program[1], "the other": program[2], "same": "same_rider" if cycles else "same_motion"}
        if program[0] == "closer":
            return ["closer"], slots
        return ["same"] if cycles else ["same", "same_motion"], slots

    def _about_object(self, operation: str, item: Program) -> tuple[list[str], dict]:
        _, status, category, *relations = item[1]
        slots = {"noun": (status, category), "relations": relations, "the thing": item}
        if operation == "category" and item[0] == "nearest":
            more = ["closest_any", *(["closest_where"] if relations else [])] if status == "any" else []
            return ["closest", *more], slots
        if operation == "category":
            if status == "any":
                return ["object_place"], slots
            return ["object", "object_status"], {**slots, "the thing": (item[0], item[1][:3]), "does": status}
        if operation == "status":
            return ["status", f"status_{_group(category)}"], slots
        return [operation], slots

    def _slot(self, name: str, slots: dict, plain: bool) -> str:
        if name in self.person:
            return self.person[name]
        if name == "same":
            return self._word(slots["same"])
        if name == "does":
            return self._draw(**grammar()["predicates"][slots["does"]], what="words")
        if name in grammar()["words"]:
            return self._word(name)
        if name == "word":
            return slots["word"]
        if name == "plain things":
            return self.noun("any", slots["noun"][1], "many")
        if name == "adjective":
            status, category = slots["noun"]
            adjective = self._draw(**grammar()["adjectives"][_group(category)][status], what="words")
            return adjective.replace(" a rider", " riders") if self.random.random() < 0.5 else adjective
        if name in ("where", "where it"):
            return self.where(slots["relations"], it=name == "where it")
        if name in ("thing", "things", "a thing", "any things"):
            form = {"thing": "one", "things": "many", "a thing": "a", "any things": "any"}[name]
            if form == "any" and not plain:
                return "any " + self.noun(*slots["noun"], "many")
            return self.noun(*slots["noun"], form)
        return self.object(slots[name], "a" if name.startswith("a ") else "the")

    def object(self, item: Program, form: str = "the") -> str:
        """An object of a program in words: "the bus", "the nearest parked car behind me", "me"."""
        if item == ("me",):
            return self.person["me"]
        _, status, category, *relations = item[1]
        words = self.noun(status, category, form if item[0] == "the" else "one")
        if item[0] == "nearest":
            # "the car ahead" is the nearest one ahead.
            ahead = relations and self.random.random() < 0.5
            words = f"the {words}" if ahead else f"the {self._word('nearest')} {words}"
        return f"{words} {self.where(relations)}".strip()

    def _place(self, relation: Program, it: bool) -> str:
        row = grammar()["directions"][relation[1]]["me" if relation[2] == ("me",) else "it"]
        pattern = self._draw(row["known"], row["held_out"], "words")
        if "{ref}" in pattern:
            pattern = pattern.replace("{ref}", "it" if it else self.object(relation[2]))
        return self.fill(pattern, {})

    def _word(self, name: str) -> str:
        return self._draw(**grammar()["words"][name], what="words")

    def _draw(self, known: Sequence[str], held_out: Sequence[str], what: str | None) -> str:
        """A known or a held-out part; what is held out is noted under `what`, unless that is None."""
        if self.held_out and held_out and (self.random.random() < 0.5 or not known or (self.force and what == "wording")):
            if what:
                self.used.add(what)
            return self.random.choice(held_out)
        return self.random.choice(known)


def _group(category: str) -> str:
    if category in VEHICLES:
        return "vehicle"
    return "cycle" if category in CYCLES else category


def _tidy(sentence: str) -> str:
    """No double spaces and none before a mark."""
    return re.sub(r" +([,;:?.])", r"\1", re.sub(r" {2,}", " ", sentence)).strip()
