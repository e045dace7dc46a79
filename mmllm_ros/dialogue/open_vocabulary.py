# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about things beyond the ten classes, "Is there a stroller?", answered from the boxes of a zero-shot detector.

The LLM is not asked: no token tells it of such a thing. Whether there is one, how many, where and how far away can be answered;
all other questions are left to the LLM.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..angles import wrapped
from ..context.question_classifier import OUT_OF_SCOPE, classify_question, direction, strip, viewed_directions
from ..datatypes import NANOSECONDS, Answer, CameraFrame, Evidence
from ..encoders.zero_shot import Found, NounDetector, find
from ..rig import Rig
from ..simulator.questions.programs import DISTANCES
from ..simulator.questions.scene_graph import SIDES
from ..simulator.questions.scene_graph import direction as direction_of
from .mentions import find_places, find_thing

OBJECT_TYPES = ("exist", "count", "where", "distance", "object", OUT_OF_SCOPE)
"""Types of question that may be about a thing of any name."""
SAME = math.radians(5.0)
"""Boxes of two cameras that are no farther apart are one thing."""
_NOUN = r"(?P<noun>[a-z]+(?:[ -][a-z]+){0,2}?)"
_TAIL = r"(?: (?:visible|around|here|there|nearby|in view|in sight|near (?:me|us|you)|around (?:me|us|you)))?"
_STATE = re.compile(r"(?:moving|driving|parked|stopped|walking|standing|sitting|running|other|same)\b")
"""What a single image does not tell."""
_ASKED = {
    "exist": (
        rf"(?:(?:is|are) there|there (?:is|are)) (?:(?:an?|any|some|one) )?{_NOUN}{_TAIL}",
        rf"(?:do|can|did) (?:you|we) (?:see|spot|detect|find) (?:(?:an?|any|some|the) )?{_NOUN}{_TAIL}",
    ),
    "count": (
        rf"how many {_NOUN}(?: (?:are|is) there| (?:do|can) you (?:see|spot|count))?{_TAIL}",
        rf"(?:what is )?the number of {_NOUN}{_TAIL}",
    ),
    "where": (rf"where (?:is|are) (?:(?:the|an?) )?(?:(?:nearest|closest) )?{_NOUN}",),
    "distance": (
        rf"how (?:far|close)(?: away)? (?:is|are) (?:(?:the|an?) )?(?:(?:nearest|closest) )?{_NOUN}(?: away)?",
        rf"what is the distance (?:to|of) (?:(?:the|an?) )?(?:(?:nearest|closest) )?{_NOUN}",
    ),
}


@dataclass(frozen=True, slots=True)
class NamedThing:
    """What a question asks of a thing that is none of the ten classes: `kind` is exist, count, where or distance; `direction` as
    in QuestionClass."""

    kind: str
    noun: str
    direction: str = ""


def named_thing(question: str) -> NamedThing | None:
    """The thing of another name that `question` asks about; None where it asks about anything else."""
    if classify_question(question).type not in OBJECT_TYPES:
        return None
    core = re.sub(r"^(?:whether|if) ", "", strip(question))
    where, places = direction(core), find_places(core)
    for start, end in reversed(places):
        core = (core[:start] + core[end:]).strip()
    core = re.sub(r" +", " ", re.sub(r"\bof (?:me|us|you)$", "", core)).strip()
    if bool(places) != bool(where):
        return None
    for kind, patterns in _ASKED.items():
        for pattern in patterns:
            found = re.fullmatch(pattern, core)
            if found and find_thing(found.group("noun")) is None and not _STATE.match(found.group("noun")):
                return NamedThing(kind, _singular(found.group("noun"), kind, core), where)
    return None


def _singular(noun: str, kind: str, core: str) -> str:
    """The noun as a detector is asked for it."""
    if kind != "count" and not re.search(r"\b(?:are|any|some|the number of)\b", core):
        return noun
    for ending, one in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x")):
        if noun.endswith(ending):
            return noun.removesuffix(ending) + one
    return noun.removesuffix("s") if noun.endswith("s") and not noun.endswith("ss") else noun


class OpenVocabulary:
    """Answers questions about things of any name from camera images.

    Args:
        detector: of a noun, see encoders/zero_shot.py.
        rig: mounts of the cameras.
        name: of the detector, which answers give as their model.
    """

    def __init__(self, detector: NounDetector, rig: Rig, name: str) -> None:
        self._detector, self._rig, self.name = detector, rig, name
        self._viewed = viewed_directions(rig)

    def answer(self, question: str, frames: Sequence[CameraFrame], points: np.ndarray | None, now: int) -> Answer | None:
        """The answer at the time `now` [ns]; `points` float32 [n, 3+] of the base frame give ranges.

        None where the question is about anything else, no image is there, or no camera looks in its direction. The confidence
        compares the score with the least score of a box, at which it is one half; it is not calibrated.
        """
        thing = named_thing(question)
        if thing is None or not frames or not _sectors(thing.direction) <= self._viewed:
            return None
        started = time.perf_counter()
        found = find(self._detector, thing.noun, frames, self._rig, points)
        sectors = _sectors(thing.direction)
        found = [item for item in found if not sectors or _sector(item) in sectors]
        surest = found[0].score if found else 0.0
        there = _distinct([item for item in found if item.score >= self._detector.least])
        confidence = _confidence(surest, self._detector.least)
        return Answer(
            stamp=max(frame.stamp for frame in frames),
            question_id="",
            question=question,
            answer=_said(thing, there),
            confidence=confidence if there else 1.0 - confidence,
            evidence=tuple(self._evidence(frame, found, thing.noun, now) for frame in frames),
            unplugged={},
            latency=time.perf_counter() - started,
            model=self.name,
            revision="",
        )

    def _evidence(self, frame: CameraFrame, found: Sequence[Found], noun: str, now: int) -> Evidence:
        score = max((item.score for item in found if item.source == frame.source), default=0.0)
        note = f"zero-shot detector, not calibrated: {noun} {score:.2f}"
        return Evidence("camera", frame.source, frame.stamp, (now - frame.stamp) / NANOSECONDS, note)


def _sectors(where: str) -> set[str]:
    return set() if not where else set(SIDES.get(where, (where,)))


def _sector(item: Found) -> str:
    return direction_of(math.cos(item.bearing), math.sin(item.bearing))


def _distinct(found: Sequence[Found]) -> list[Found]:
    """Without what another camera shows more surely."""
    kept: list[Found] = []
    for item in found:
        if all(item.source == other.source or abs(wrapped(item.bearing - other.bearing)) > SAME for other in kept):
            kept.append(item)
    return kept


def _confidence(score: float, least: float) -> float:
    """By the odds of the score over those of the least one."""
    odds = score * (1 - least)
    return odds / max(odds + (1 - score) * least, 1e-9)


def _said(thing: NamedThing, there: Sequence[Found]) -> str:
    if thing.kind == "exist":
        return "yes" if there else "no"
    if thing.kind == "count":
        return str(len(there))
    if not there:
        return f"I see no {thing.noun}"
    nearest = min(there, key=lambda item: item.distance if item.distance is not None else math.inf)
    away = "" if nearest.distance is None else next(name for name, end in DISTANCES if nearest.distance <= end)
    if thing.kind == "distance":
        return away or f"I cannot tell how far away the {thing.noun} is"
    return f"{_sector(nearest)}, {away}" if away else _sector(nearest)
