# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions that take something to be there which is not: "Where is the bus?" without a bus has the answer "I see no buses."

A language model that was trained on questions about things that were there answers as if they always were. So it is asked as
well whether there are any, which takes it half as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from ..context.question_classifier import strip
from ..resources import config_table
from .mentions import find_thing

TYPES = ("where", "distance", "light", "status")
"""Types of question about one thing."""

SURE = 0.8
"""Probability of "no" from which a thing counts as missing (benchmark/missing_things.py)."""


def missing_thing(question: str, kind: str, ask: Callable[[str], Mapping[str, float]]) -> dict[str, float] | None:
    """The probability of the answer to a question of type `kind` about a thing that is not there.

    None where it is there, or nothing is presupposed. `ask` gives the probabilities of the answers to another question about the
    same moment.
    """
    if kind not in TYPES or (things := _presupposed(strip(question))) is None:
        return None
    chance = ask(f"Are there any {things}?").get("no", 0.0)
    return {f"I see no {things}.": chance, "": 1 - chance} if chance >= SURE else None


def _presupposed(core: str) -> str | None:
    """The plural of the thing of a known class that a stripped question mentions as "the ...", None where there is none."""
    thing = find_thing(core)
    if thing is None or thing.one not in _classes() or core[: thing.start].split()[-1:] not in (["the"], ["that"], ["this"]):
        return None
    return thing.many


@cache
def _classes() -> frozenset[str]:
    """The nouns for road users, in the singular."""
    nouns = config_table("everyday.yaml")["nouns"]
    rows = [row for name, entry in nouns.items() if name != "thing" for row in (*entry["known"], *entry["held_out"])]
    return frozenset(row.partition("/")[0] for row in rows)
