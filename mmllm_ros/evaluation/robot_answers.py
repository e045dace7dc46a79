# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the robot says, all sensors connected: the answers of the model with all that they go through in the Assistant."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from rich.progress import track

from ..assistant import Assistant
from ..config import LlmConfig
from ..datasets.examples import Example
from ..datatypes import Question
from ..dialogue.self_report import REFUSAL
from ..model import Model, Scored
from ..rig import Rig
from ..simulator.questions.everyday import CANNOT_TELL


def robot_answers(model: Model, rig: Rig, asked: Sequence[Example]) -> tuple[list[Scored], list[float]]:
    """The answers to all questions of `asked`, and the seconds that each took.

    A sentence that refuses one is CANNOT_TELL. What is described where the name of a thing was asked for counts as its name if
    the sentences name it.
    """
    answers, seconds = [], []
    for moment in track(asked, "answer as the robot does"):
        stamp = max(tokens.stamp for tokens in moment.tokens)
        assistant = Assistant(model, LlmConfig(), lambda stamp=stamp: stamp, rig=rig)
        for tokens in moment.tokens:
            assistant.put(tokens)
        for question in moment.questions:
            for health in moment.healths:  # encoders report all the time
                assistant.set_health(health)
            started = time.perf_counter()
            answer = assistant.ask(question.question)
            seconds.append(time.perf_counter() - started)
            answers.append(Scored(_short(answer.answer, question), answer.confidence))
    return answers, seconds


def _short(answer: str, question: Question) -> str:
    if answer.startswith(REFUSAL):
        return CANNOT_TELL
    named = question.template_type == "object" and re.search(rf"\b{re.escape(question.answer)}", answer)
    return question.answer if named else answer
