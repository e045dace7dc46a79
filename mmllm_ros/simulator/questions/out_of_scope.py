# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions that no sensor of the robot can ever answer, of many kinds (config/cannot_tell.yaml): the true answer is CANNOT_TELL.

What the connected sensors happen not to see is no such question: it keeps its true answer.
"""

from __future__ import annotations

from random import Random

from ...datatypes import BadInput, Question
from ...resources import config_table
from ..truth import CYCLES, VEHICLES
from .everyday import CANNOT_TELL, Writer
from .scene_graph import DIRECTIONS, STATUSES_OF

OUT_OF_SCOPE = "out of scope"
"""The type of these questions."""


def kinds() -> dict[str, dict[str, list[str]]]:
    """The phrasings by kind, under "known" and "held_out", and the word lists of their slots under "lists"."""
    return config_table("cannot_tell.yaml")


def out_of_scope(random: Random, count: int, split: str = "train") -> list[Question]:
    """`count` different questions. The test split has only kinds that the other splits never have in half of its questions.

    `needs` is ((),): no modality is needed to give the answer. `details["template"]` names the kind, `details["wording"]` says
    whether the kind is "known" or "held out". Raises BadInput for more questions than the grammar has.
    """
    asked: dict[str, Question] = {}
    for _ in range(50 * count):
        if len(asked) >= count:
            return list(asked.values())
        held_out = split == "test" and random.random() < 0.5
        table = kinds()["held_out" if held_out else "known"]
        name = random.choice(list(table))
        sentence = _sentence(random.choice(table[name]), random)
        wording = "held out" if held_out else "known"
        details = {"template": name, "wording": wording, "language": "everyday"} | ({"held_out": "kind"} if held_out else {})
        asked[sentence] = Question(sentence, CANNOT_TELL, OUT_OF_SCOPE, 0, needs=((),), details=details)
    raise BadInput(f"{count} questions out of scope were asked for, and the grammar has only {len(asked)}")


def _sentence(frame: str, random: Random) -> str:
    writer = Writer(random)
    slots = {name: random.choice(words) for name, words in kinds()["lists"].items()}
    slots["place"] = writer.where([("toward", random.choice(DIRECTIONS), ("me",))])
    slots["the thing"] = _thing(writer, random, slots["place"])
    # Choices may hold slots, and two slots of one name are two words.
    core = writer.choices(frame)
    for name in [*slots]:
        while "{" + name + "}" in core:
            filling = slots[name] if name in ("place", "the thing") else random.choice(kinds()["lists"][name])
            core = core.replace("{" + name + "}", filling, 1)
    return writer.finish(core)


def _thing(writer: Writer, random: Random, place: str) -> str:
    """A thing as an answerable question would name it: what makes a question unanswerable is not its noun."""
    category = random.choice((*VEHICLES, *VEHICLES, *CYCLES, "car", "truck"))
    status = random.choice(("any", "any", *STATUSES_OF.get(category, ())))
    words = writer.noun(status, category, "the")
    if random.random() < 0.2:
        words = words.replace("the ", f"the {random.choice(('red', 'blue', 'white', 'black', 'yellow', 'green'))} ", 1)
    return f"{words} {place}" if random.random() < 0.4 else words
