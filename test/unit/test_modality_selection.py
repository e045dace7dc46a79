# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plan table and the rule that chooses from it."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmllm_ros.context.modality_selection import AnswerBudget, Situation, choose
from mmllm_ros.context.plan_table import STRENGTH, EncoderCost, Option, PlanTable, join_names
from mmllm_ros.datatypes import BadInput

ENCODERS = {"camera": EncoderCost(3e8, 0.01, 4e6), "lidar": EncoderCost(6e8, 0.03, 4e6), "imu": EncoderCost(1e6, 0.001, 5e5)}
SETS = [sets for size in range(4) for sets in itertools.combinations(sorted(ENCODERS), size)]


def table(**right: float) -> PlanTable:
    """Of 10,000 questions of type exist by day, each set has `right` ("camera_lidar", 0.5 where missing) of them right."""
    options = [
        Option(modalities, blocks if modalities else 0, 1e8 + 1e6 * blocks, 0.01,
               {"exist": {"day": (10_000 * right.get("_".join(modalities), 0.5) + blocks, 10_000)}})
        for modalities in SETS for blocks in ((2, 5) if modalities else (0,))
    ]  # fmt: skip
    return PlanTable("tiny", "abc", "front", ENCODERS, tuple(options))


ALL = Situation({"exist": 1.0}, "day", ("camera", "imu", "lidar"))
GOOD = table(camera=0.8, lidar=0.79, camera_lidar=0.805, camera_imu_lidar=0.805)


def test_the_cheapest_within_epsilon_of_the_best_is_taken():
    assert choose(GOOD, ALL, AnswerBudget(), 0.01).modalities == ("camera",)
    assert choose(GOOD, ALL, AnswerBudget(), 0.001).modalities == ("camera", "lidar")
    assert choose(GOOD, ALL, AnswerBudget(), 0.5).modalities == ("imu",)  # all but free


def test_of_ways_that_cost_the_same_the_one_that_is_right_more_often_is_taken():
    # Five linked blocks cost 1 % more than two.
    assert choose(GOOD, ALL, AnswerBudget(), 0.01).linked_blocks == 5


def test_what_is_encoded_already_costs_nothing_and_every_camera_costs():
    assert choose(GOOD, dataclasses.replace(ALL, ready=("lidar",)), AnswerBudget(), 0.02).modalities == ("lidar",)
    assert choose(GOOD, dataclasses.replace(ALL, sources={"camera": 6}), AnswerBudget(), 0.02).modalities == ("lidar",)


def test_the_budget_limits_time_operations_and_memory_and_where_nothing_fits_the_cheapest_is_taken():
    assert choose(GOOD, ALL, AnswerBudget(seconds=0.025), 0.001).modalities == ("camera",)
    assert choose(GOOD, dataclasses.replace(ALL, slowness=10.0), AnswerBudget(seconds=0.025), 0.001).modalities == ()
    assert choose(GOOD, ALL, AnswerBudget(flops=5e8), 0.001).modalities == ("camera",)
    assert choose(GOOD, ALL, AnswerBudget(memory=5e6), 0.001).modalities == ("camera",)


def test_a_limit_on_blocks_and_the_modalities_of_which_one_is_required_are_kept():
    assert choose(GOOD, dataclasses.replace(ALL, most_blocks=2), AnswerBudget(), 0.01).linked_blocks == 2
    assert choose(GOOD, dataclasses.replace(ALL, most_blocks=1), AnswerBudget(), 0.01).linked_blocks == 2
    tight = AnswerBudget(flops=1.0)
    assert choose(GOOD, ALL, tight, 0.01).modalities == ()
    assert choose(GOOD, dataclasses.replace(ALL, any_of=("lidar",)), tight, 0.01).modalities == ("lidar",)


def test_every_modality_that_is_left_out_has_a_sentence_with_the_figures():
    choice = choose(GOOD, ALL, AnswerBudget(), 0.01)
    assert choice.reasons["lidar"] == ("not used: camera alone answers 80 % of the exist questions (day), with lidar 81 %")
    tight = choose(GOOD, ALL, AnswerBudget(flops=5e8), 0.001)
    assert tight.reasons["lidar"] == "not used: it exceeds the budget"


def test_a_row_of_few_questions_leans_on_the_others_of_its_kind():
    option = Option(("camera",), 5, 1.0, 1.0, {"exist": {"day": (900.0, 1000.0), "fog": (0.0, 5.0)}})
    of_kind = (900 + STRENGTH * 900 / 1005) / (1005 + STRENGTH)
    assert option.accuracy("exist", "fog") == pytest.approx(STRENGTH * of_kind / (5 + STRENGTH))
    assert option.accuracy("exist", "never seen") == pytest.approx(of_kind)


@given(st.sets(st.sampled_from(sorted(ENCODERS))), st.sets(st.sampled_from(sorted(ENCODERS))), st.floats(0, 1))
def test_whatever_is_allowed_the_choice_is_a_part_of_it_and_explains_the_rest(allowed, ready, epsilon):
    choice = choose(GOOD, dataclasses.replace(ALL, allowed=sorted(allowed), ready=ready & allowed), AnswerBudget(), epsilon)
    assert set(choice.modalities) <= allowed
    assert set(choice.reasons) == allowed - set(choice.modalities)


def test_a_table_is_read_as_it_was_written(tmp_path):
    GOOD.write(tmp_path / "plan_table.json")
    again = PlanTable.read(tmp_path / "plan_table.json")
    assert again.encoders == GOOD.encoders and again.depths == (2, 5) and again.question_counts == {"exist": 10_000}
    assert choose(again, ALL, AnswerBudget(), 0.01) == choose(GOOD, ALL, AnswerBudget(), 0.01)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "another"}', '{"format": "mmllm_ros plan table 1"}'])
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path, content):
    path = tmp_path / "plan_table.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=r"plan table .*plan_table\.json cannot be used"):
        PlanTable.read(path)


def test_a_table_with_a_missing_part_is_refused(tmp_path):
    path = tmp_path / "plan_table.json"
    GOOD.write(path)
    content = json.loads(path.read_text())
    del content["options"][0]["counts"]
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput):
        PlanTable.read(path)


def test_names_are_listed_as_people_say_them():
    assert [join_names(names) for names in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == ["nothing", "a", "a and b", "a, b and c"]
