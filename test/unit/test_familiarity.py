# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Confidence on real data: an input unlike training is named and lowers the confidence; half of the frames calibrate the
other."""

from __future__ import annotations

import numpy as np
import pytest

from mmllm_ros.datasets.simulated import Example
from mmllm_ros.datatypes import BadInput, Question, Tokens
from mmllm_ros.evaluation.familiarity import Familiar, abstention, judged, softened
from mmllm_ros.evaluation.real_calibration import calibrated_on_half, halves
from mmllm_ros.model import Scored


def tokens(rng, shift: float = 0.0, modality: str = "lidar", source: str = "lidar") -> Tokens:
    values = rng.normal(shift, 1.0, (20, 5)).astype(np.float32)
    return Tokens(modality, source, 0, values, np.zeros((20, 3), np.float32), "x")


def usual() -> Familiar:
    rng = np.random.default_rng(0)
    return Familiar.of(tokens(rng) for _ in range(200))


SCORED = Scored("yes", 0.9, {"yes": 0.9, "no": 0.1})


def test_an_input_like_training_leaves_the_confidence_and_another_lowers_it_and_is_named():
    rng, known = np.random.default_rng(1), {"lidar": usual()}
    assert judged(SCORED, [tokens(rng)], known) == (SCORED, "")
    lowered, named = judged(SCORED, [tokens(rng, 3.0)], known)
    assert lowered.answer == "yes" and 0.5 < lowered.confidence < 0.8
    assert named.startswith("unlike training: lidar (")


def test_nearly_all_frames_like_those_of_training_are_usual():
    rng, known = np.random.default_rng(2), usual()
    assert np.mean([known.distance(tokens(rng)) > 1 for _ in range(300)]) < 0.08


def test_a_modality_without_statistics_is_not_judged():
    rng = np.random.default_rng(1)
    assert judged(SCORED, [tokens(rng, 9.0, "camera", "front")], {"lidar": usual()})[1] == ""


def test_few_frames_and_other_widths_are_refused():
    with pytest.raises(BadInput, match="at least eight"):
        Familiar.of([])
    other = Tokens("lidar", "lidar", 0, np.zeros((3, 9), np.float32), np.zeros((3, 3), np.float32), "x")
    with pytest.raises(BadInput, match="width 9, not 5"):
        usual().distance(other)


def test_a_temperature_of_one_changes_nothing_and_a_higher_one_evens_out():
    assert softened(SCORED, 1.0).confidence == pytest.approx(0.9)
    # Odds of nine to one at temperature two are three to one.
    assert softened(SCORED, 2.0).confidence == pytest.approx(0.75)


def test_abstention_keeps_the_answers_that_are_right_often_enough():
    assert abstention([0.9, 0.8, 0.7, 0.2], [1, 1, 0, 0], 0.66) == 0.7
    assert abstention([0.9, 0.8], [0, 0]) > 1


def test_half_of_the_frames_of_each_source_calibrate_the_other_half():
    rng = np.random.default_rng(3)
    asked, scored = [], []
    for index in range(60):
        questions = tuple(Question(f"q{k}", "yes" if rng.random() < 0.6 else "no", "exist", 0) for k in range(10))
        asked.append(Example(f"{index}", "a" if index % 3 else "b", (), questions))
        scored += [Scored("yes", 0.95, {"yes": 0.95, "no": 0.05})] * 10
    number = halves(asked)
    assert abs(number.count(0) - number.count(1)) <= 2
    found = calibrated_on_half(asked, scored)
    # Sure to 95 %, right in 60 %: odds of 19 must become odds of 1.5.
    assert found["temperature"] == pytest.approx(np.log(19) / np.log(1.5), rel=0.3)
    assert found["ece_before"] > 0.25 and found["ece"] < 0.1 and found["abstain_below"] > 1
