# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers that fit the form of a question."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import AROUND, random_scene

from mmllm_ros.assistant import fitting
from mmllm_ros.context.question_classifier import strip
from mmllm_ros.dialogue.answer_form import answers_of
from mmllm_ros.model import Scored
from mmllm_ros.simulator.questions.everyday import CANNOT_TELL
from mmllm_ros.simulator.questions.everyday_kinds import ask_kinds
from mmllm_ros.simulator.questions.question_maker import ask


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_true_answer_of_every_simulated_question_fits_its_form(split):
    restricted = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = random_scene(rng)
        questions = ask(truth, AROUND, rng, 12, split, seed=seed, language="everyday") + ask(
            truth, AROUND, rng, 8, split, seed=seed
        )
        for question in questions + ask_kinds(truth, AROUND, rng, 12, split):
            fits = answers_of(strip(question.question))
            restricted += fits is not None
            assert fits is None or fits(question.answer), question.question
    assert restricted > 500


@pytest.mark.parametrize(
    ("question", "likeliest", "second", "answer"),
    [
        ("Are there more cars than trucks?", "1", "no", "no"),
        ("is the truck green or black?", "yes", "black", "black"),
        ("how many people and cars are there", "no", "2", "2"),
        ("How fast are we going?", "10 to 20 metres", "yes", CANNOT_TELL),
        ("can you see a truck or a bus?", "yes", "bus", "yes"),
        ("can you locate the bus?", "front, over 20 metres", "yes", "front, over 20 metres"),
    ],
)
def test_an_answer_that_does_not_fit_gives_way_to_the_likeliest_that_does(question, likeliest, second, answer):
    scored = fitting(question, Scored(likeliest, 0.6, {likeliest: 0.6, second: 0.3, CANNOT_TELL: 0.1}))
    assert scored.answer == answer
    assert scored.confidence == {second: 0.3}.get(answer, 0.6)


def test_where_hardly_anything_fits_it_cannot_be_told():
    scored = Scored("truck", 0.94, {"truck": 0.94, "yes": 0.04, "no": 0.02})
    assert fitting("Is the truck closer than the car?", scored) == Scored(CANNOT_TELL, 0.94)
    assert fitting("Is the truck closer than the car?", Scored("free text", 0.5)) == Scored("free text", 0.5)
