# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Blind baselines and the oracle on small synthetic lists of questions."""

from __future__ import annotations

import pytest

from mmllm_ros.datatypes import Question
from mmllm_ros.metrics.baselines import majority, ngram, oracle, per_type

CAMERA, EITHER, JOINT = (("camera",),), (("camera",), ("lidar",)), (("camera", "lidar"),)


def _question(text, answer, kind="exist", needs=(), template="a"):
    return Question(text, answer, kind, 0, needs=needs, details={"template": template})


def test_the_majority_is_of_the_template_and_of_the_type_for_a_new_template():
    train = [_question("x", "yes"), _question("x", "yes"), _question("x", "no", template="b"), _question("y", "3", "count")]
    test = [_question("z", "", template=name) for name in ("a", "b", "new")] + [_question("z", "", "object", template="new")]
    assert majority(train, test) == ["yes", "no", "yes", ""]


def test_the_ngram_baseline_predicts_an_answer_that_depends_on_the_words():
    train = [_question(f"is the {word} there", answer) for word, answer in (("car", "yes"), ("bus", "no")) for _ in range(20)]
    assert ngram(train, [_question("is the bus there", "no"), _question("is the car there", "yes")]) == ["no", "yes"]


def test_the_ngram_baseline_with_one_answer_is_that_answer():
    assert ngram([_question("x", "yes")], [_question("y", "no")]) == ["yes"]


def test_the_oracle_is_right_where_its_modalities_suffice_and_guesses_the_rest():
    questions = [_question("a", "yes", needs=needs) for needs in (CAMERA, EITHER, JOINT, ())]
    assert oracle(questions, ("camera",)) == [1, 1, 0, 0]
    assert oracle(questions, ("lidar",)) == [0, 1, 0, 0]
    assert oracle(questions, ("camera", "lidar", "imu")) == [1, 1, 1, 0]
    assert oracle(questions, (), ["yes", "no", "yes", "no"]) == [1, 0, 1, 0]


def test_means_are_overall_and_per_type():
    questions = [_question("a", "yes"), _question("a", "yes"), _question("a", "3", "count")]
    assert per_type(questions, [1, 0, 1]) == pytest.approx({"overall": 2 / 3, "exist": 0.5, "count": 1.0})
