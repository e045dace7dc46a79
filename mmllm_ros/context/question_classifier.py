# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A question's words -> its type, where it looks, and which modalities can tell. One rule a line, the first that fits counts."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..rig import Rig

MIDDLES = {"front": 0, "front left": 60, "back left": 120, "back": 180, "back right": -120, "front right": -60}
"""Bearing [degrees] of the middle of each direction that a question can name; each is 60 wide."""

OBJECTS = ("camera", "lidar")


@dataclass(frozen=True, slots=True)
class QuestionClass:
    """What a question asks for.

    `type` is one of NuScenes-QA's question types or ours (ego, distance, light), empty for a question of no known type. `where`
    is the direction it names from the vehicle ("front left"), empty where it names none. `able` are the modalities that can tell,
    empty = who knows: everything healthy is asked.
    """

    type: str = ""
    where: str = ""
    able: tuple[str, ...] = ()

    def kind(self, watched: Collection[str]) -> str:
        """The row of the plan table: the type, and whether the cameras look there. `watched` are the directions they cover."""
        if not self.where or self.able != OBJECTS:
            return self.type
        return f"{self.type} in view" if self.where in watched else f"{self.type} out of view"


_RULES: Sequence[tuple[str, str, tuple[str, ...]]] = (
    (r"\bmy speed\b|\bam i\b|\bi am\b|\bi\b.*\b(turning|braking|accelerating|moving|going)\b", "ego", ("imu", *OBJECTS)),
    (r"\bcolou?r\b|\b(red|yellow|green|black|white|gr[ae]y|blue|silver|brown|orange)\b", "light", ("camera",)),
    (r"\bhow far\b|\bdistance\b", "distance", OBJECTS),
    (r"\bhow many\b|\bnumber of\b", "count", OBJECTS),
    (r"\b(any|another|is there|are there)\b|\b(is a|are) [^;]*\bvisible\b", "exist", OBJECTS),
    (r"\bsame\b", "comparison", OBJECTS),
    (r"\bstatus\b", "status", OBJECTS),
    (r"\bwhat\b", "object", OBJECTS),
)
_WHERE = re.compile(r"\b(front|back)(?: (left|right))? of me\b|\bahead\b")


def classify_question(question: str) -> QuestionClass:
    """What `question` asks for, by its words."""
    text = question.lower()
    found = re.search(_WHERE, text)
    where = "" if not found else " ".join(part for part in found.groups() if part) or "front"
    for pattern, kind, able in _RULES:
        if re.search(pattern, text):
            return QuestionClass(kind, where, able)
    return QuestionClass()


def watched(rig: Rig) -> frozenset[str]:
    """The directions that lie within the cameras' fields of view, but for 5 degrees at either edge."""

    def in_view(degrees: float) -> bool:
        bearing = math.radians(degrees)
        return any(abs(math.remainder(bearing - mount.bearing, math.tau)) <= mount.fov / 2 for mount in rig.cameras)

    return frozenset(where for where, middle in MIDDLES.items() if all(in_view(middle + step) for step in (-25, 0, 25)))
