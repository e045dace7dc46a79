# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of benchmark/continual: plasticity, forgetting and forward transfer by their definitions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmark" / "continual"))
from continual_report import summary
from joint_questions import joint_questions
from signals import Modality

from mmllm_ros.training.continual.answering import Asked


def modality(answers: list[str]) -> Modality:
    """Two training questions with the answer "yes" and a test question for each of `answers`, of different moments."""
    asked = [Asked(number, "?", answer, "kind") for number, answer in enumerate(["yes", "yes", *answers])]
    return Modality(torch.zeros(len(asked), 1, 1), torch.zeros(len(asked), 2), asked, [0, 1], list(range(2, len(asked))))


def run(method: str, *stages: dict[str, list[int]]) -> dict:
    """A run that learns the last modality of each stage."""
    trained = {"mixing": 5, "own": 7}
    rows = [{"modality": list(right)[-1], "trained": trained, "right": right, "changed": []} for right in stages]
    pairs = {"audio": {"joint_both": 0.25, "joint_chosen": 0.5}}
    return {
        "method": method,
        "order": "robot",
        "seed": 0,
        "stages": rows,
        "together": pairs,
        "joint": {},
    }


def test_figures_follow_their_definitions():
    data = {name: modality(["yes", "no", "no", "no"]) for name in ("image", "audio", "depth")}
    base = [1, 1, 1, 1]
    runs = [
        run("in_adapters", {"image": base, "audio": [1, 1, 0, 0]}, {"image": base, "audio": [1, 1, 0, 0], "depth": [1, 1, 1, 0]}),
        run("adapters", {"image": base, "audio": [1, 1, 0, 0]}, {"image": base, "audio": [1, 1, 0, 0], "depth": [1, 0, 1, 0]}),
        run(
            "full",
            {"image": [1, 1, 0, 0], "audio": [1, 1, 1, 0]},
            {"image": [1, 0, 0, 0], "audio": [1, 0, 0, 0], "depth": [1] * 4},
        ),
    ]
    report = summary(runs, data, base, projection=50)
    # The most frequent training answer is "yes": one of four test answers.
    assert report["blind"]["audio"][0] == 0.25
    full = report["runs"][2]["stages"]
    # After audio, images fell from 4 to 2 of 4. After depth they are at 1 (lost 3/4), and audio fell from 3 to 1 (lost 2/4).
    assert [stage["T"][0] for stage in full] == [0.75, 1.0]
    assert [stage["F"] for stage in full] == [0.5, pytest.approx((0.75 + 0.5) / 2)]
    assert [stage["F"] for stage in report["runs"][0]["stages"]] == [0.0, 0.0]
    # Audio has no older adapter to use; of depth, in-adapters get 3 of 4 right, adapters alone 2.
    assert [(row["modality"], row["gain"]) for row in report["transfer"]] == [("depth", 0.25), ("all", 0.25)]
    ours = report["plasticity"]["in_adapters"]
    # Mean T 0.625 against 0.875; gains over blind 0.375 against 0.625; 5 of 50 parameters.
    assert ours["T_against_full"] == pytest.approx(0.625 / 0.875)
    assert ours["gain_against_full"] == pytest.approx(0.375 / 0.625)
    assert (ours["joint_both"], ours["joint_chosen"]) == (0.25, 0.5)
    assert ours["mixing_share"] == pytest.approx(0.1)


def test_a_joint_question_is_true_where_both_parts_are_and_as_many_are_true_as_false():
    def asked(kind: str, answers: list[str]) -> Modality:
        rows = [Asked(number, f"Is there {kind}?", answer, kind) for number, answer in enumerate(answers)]
        return Modality(torch.zeros(len(rows), 1, 1), torch.zeros(len(rows), 2), rows, [], list(range(len(rows))))

    data = {"image": asked("a bus", ["yes", "yes", "no", "red"]), "audio": asked("a horn", ["yes", "no", "no", "yes"])}
    joints = joint_questions(data, "audio")
    assert {joint.asked.question for joint in joints} == {"Is there a bus, and is there a horn?"}
    by_answer = {joint.asked.answer: joint for joint in joints}
    assert len(joints) == 2 and by_answer["yes"].rows == (0, 0) and by_answer["no"].rows in ((1, 1), (2, 2))
