# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Classifies a question by its words: type, direction, and the modalities that can answer it. The first matching rule applies."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..rig import Rig

MIDDLES = {"front": 0, "front left": 60, "back left": 120, "back": 180, "back right": -120, "front right": -60}
"""Bearing [degrees] of the middle of each direction in questions; each is 60 wide."""

OBJECTS = ("camera", "lidar")


@dataclass(frozen=True, slots=True)
class QuestionClass:
    """Class of a question.

    `type` is one of NuScenes-QA's question types or ours (ego, distance, light), empty where unknown. `direction` is the
    direction from the vehicle in the question ("front left"), empty where there is none. `modalities` are those that can answer
    it, empty = unknown.
    """

    type: str = ""
    direction: str = ""
    modalities: tuple[str, ...] = ()

    def kind(self, viewed_directions: Collection[str]) -> str:
        """The row of the plan table: the type, and whether the direction is one of the cameras' `viewed_directions`."""
        if not self.direction or self.modalities != OBJECTS:
            return self.type
        return f"{self.type} in view" if self.direction in viewed_directions else f"{self.type} out of view"


SUBJECTS = {
    "ego": "how the robot moves",
    "light": "colours",
    "distance": "how far away objects are",
    "count": "how many objects there are",
    "exist": "whether objects are present",
    "comparison": "whether two objects have the same status",
    "status": "the status of objects",
    "object": "what an object is",
}
"""What a question of each type asks for, in the reasons for modalities that cannot answer it."""

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
_DIRECTION = re.compile(r"\b(front|back)(?: (left|right))? of me\b|\bahead\b")


def classify_question(question: str) -> QuestionClass:
    """The class of `question`."""
    text = question.lower()
    found = re.search(_DIRECTION, text)
    direction = "" if not found else " ".join(part for part in found.groups() if part) or "front"
    for pattern, kind, modalities in _RULES:
        if re.search(pattern, text):
            return QuestionClass(kind, direction, modalities)
    return QuestionClass()


def viewed_directions(rig: Rig) -> frozenset[str]:
    """The directions within the cameras' fields of view, except for 5 degrees at either edge."""

    def in_view(degrees: float) -> bool:
        bearing = math.radians(degrees)
        return any(abs(math.remainder(bearing - mount.bearing, math.tau)) <= mount.fov / 2 for mount in rig.cameras)

    return frozenset(direction for direction, middle in MIDDLES.items() if all(in_view(middle + step) for step in (-25, 0, 25)))
