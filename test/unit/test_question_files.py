# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Question files: NuScenes-QA's form is read, ours is written and read, anything else is refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import AROUND, random_scene

from mmllm_ros.datatypes import BadInput, Question
from mmllm_ros.io.question_files import read_questions, write_questions
from mmllm_ros.simulator.questions.question_maker import ask

RECORD = {"sample_token": "ab12", "question": "Are any cars visible?", "answer": "yes", "template_type": "exist", "num_hop": 0}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*RECORD, "needs", "x"]), inner, max_size=4),
    max_leaves=8,
)


def _written(folder, content):
    path = folder / "questions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_simulated_questions_are_read_as_they_were_written(tmp_path):
    rng = np.random.default_rng(0)
    questions = ask(random_scene(rng), AROUND, rng, 20, seed=7)
    write_questions(tmp_path / "new" / "questions.json", questions, "val")
    assert read_questions(tmp_path / "new" / "questions.json") == questions
    content = json.loads((tmp_path / "new" / "questions.json").read_text())
    assert content["split"] == "val"
    assert {*RECORD, "source", "program", "seed", "needs"} <= set(content["questions"][0])


def test_a_nuscenes_qa_file_is_read_with_its_number_answers_and_unknown_keys(tmp_path):
    path = _written(tmp_path, {"info": {}, "split": "val", "questions": [RECORD, {**RECORD, "answer": 3, "extra": [1]}]})
    first, second = read_questions(path)
    assert first == Question("Are any cars visible?", "yes", "exist", 0, "ab12", source="file")
    assert second.answer == "3"


@pytest.mark.parametrize("field", RECORD)
def test_a_missing_field_is_named_with_its_index(tmp_path, field):
    damaged = {key: value for key, value in RECORD.items() if key != field}
    with pytest.raises(BadInput, match=rf"question 1 has no field '{field}'"):
        read_questions(_written(tmp_path, {"questions": [RECORD, damaged]}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "is not JSON"), ("[" * 100_000, "is not JSON"), ({"split": "val"}, "no list of questions"), ([3], "question 0 is int"),
     ([{**RECORD, "answer": [1]}], "field 'answer' is list"), ([{**RECORD, "num_hop": "one"}], "field 'num_hop'"),
     ([{**RECORD, "needs": ["camera"]}], "field 'needs'"), ([{**RECORD, "details": 3}], "field 'details'")],
)  # fmt: skip
def test_what_is_not_a_question_file_is_refused_in_one_line(tmp_path, content, reason):
    with pytest.raises(BadInput, match=reason) as refusal:
        read_questions(_written(tmp_path, content))
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"none\.json cannot be read"):
        read_questions(tmp_path / "none.json")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from([*RECORD, "needs", "seed", "details", "program"]), JSON, max_size=3), whole=JSON)
def test_any_json_is_read_or_refused(tmp_path, changes, whole):
    for content in ({"questions": [{**RECORD, **changes}]}, whole):
        try:
            questions = read_questions(_written(tmp_path, content))
        except BadInput as refusal:
            assert "\n" not in str(refusal)
        else:
            assert all(isinstance(question.answer, str) for question in questions)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_any_bytes_are_refused(tmp_path, content):
    path = tmp_path / "bytes.json"
    path.write_bytes(content)
    try:
        assert read_questions(path) == []
    except BadInput as refusal:
        assert "\n" not in str(refusal)
