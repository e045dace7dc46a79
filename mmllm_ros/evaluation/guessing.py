# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What guessing without sensors would score on a drive, by plan tables: beside the share of right answers."""

from __future__ import annotations

from ..context.plan_table import FILE, PlanTable, nothing_plugged
from ..context.question_classifier import classify_question, viewed_directions
from ..resources import EMBEDDED, model_folder
from ..rig import Rig


class Guessing:
    """How probably a guess is right: that of `model`, or that of drive_tiny where its LLM guesses better. Raises BadInput."""

    def __init__(self, model: str, rig: Rig) -> None:
        tables = {model_folder(name) / FILE for name in (model, EMBEDDED)}
        self._blind = [nothing_plugged(PlanTable.read(path)) for path in tables if path.is_file()]
        self._seen = viewed_directions(rig)

    def right(self, question: str, context: str) -> float:
        """The probability, 0 to 1, in a context such as `night, rain`; 0 without a table."""
        kind = classify_question(question).kind(self._seen)
        return max((blind.accuracy(kind, context.partition(",")[0]) for blind in self._blind), default=0.0)
