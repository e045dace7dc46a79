# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions asked together have the answers of the same questions asked one behind the other, from one forward pass."""

from __future__ import annotations

import pytest
from test_assistant import START, Clock, reading
from test_modality_selection import GOOD
from tiny_model import make_tiny_model

from mmllm_ros.assistant import Asked, Assistant, Cancelled
from mmllm_ros.config import LlmConfig
from mmllm_ros.context.per_question import PerQuestionPolicy
from mmllm_ros.datatypes import MODALITIES, BadInput, Plan
from mmllm_ros.model import Model

QUESTIONS = (
    "Are there any cars?",
    "Am I moving?",
    "Which sensors are you using?",
    "How many trucks are there?",
    "is there a xylophone ?",
    "Are there any buses?",
    "Describe what is around me.",
    "Am I turning?",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    return Model.load(make_tiny_model(tmp_path_factory.mktemp("model")), "cpu")


def session(model: Model, policy: bool = True, **settings) -> Assistant:
    assistant = Assistant(model, LlmConfig(**settings), Clock(), PerQuestionPolicy(GOOD, {"front"}) if policy else None)
    for modality in MODALITIES:
        assistant.put(reading(model, modality))
    plugged = dict.fromkeys(MODALITIES, True)
    assistant.set_plan(Plan(START, plugged, dict.fromkeys(MODALITIES, "healthy"), "day", 0, available=tuple(sorted(MODALITIES))))
    return assistant


@pytest.mark.parametrize("policy", [True, False], ids=["different sensors", "the same sensors"])
def test_questions_asked_together_have_the_answers_of_questions_asked_one_by_one(model, policy):
    one_by_one = session(model, policy)
    alone = [one_by_one.ask(question) for question in QUESTIONS]
    together = list(session(model, policy).ask_all([Asked(question) for question in QUESTIONS]))
    if policy:
        assert len({tuple(item.modality for item in answer.evidence) for answer in alone}) > 2
    for one, other in zip(alone, together, strict=True):
        assert (other.answer, other.evidence, other.unplugged) == (one.answer, one.evidence, one.unplugged)
        assert other.confidence == pytest.approx(one.confidence, rel=1e-4)


def test_questions_asked_together_take_one_forward_pass(model, monkeypatch):
    passes = []
    pack = model._packed_logits
    monkeypatch.setattr(model, "_packed_logits", lambda asked, *rest: passes.append(len(asked)) or pack(asked, *rest))
    monkeypatch.setattr(model, "_logits", lambda *_: pytest.fail("a question was scored alone"))
    assert len(list(session(model).ask_all([Asked(question) for question in QUESTIONS[:4]]))) == 4
    assert passes == [3]  # the question about the robot itself needs none


def test_a_follow_up_asked_together_with_its_question_refers_to_it(model):
    asked = [Asked("Are there any trucks?", conversation="a"), Asked("What about buses?", conversation="a")]
    one_by_one = session(model)
    alone = [one_by_one.ask(item.question, conversation="a") for item in asked]
    together = list(session(model).ask_all(asked))
    assert [answer.answer for answer in together] == [answer.answer for answer in alone]
    assert together[1].confidence == pytest.approx(session(model).ask("Are there any buses?").confidence, rel=1e-4)


def test_a_bad_question_and_a_cancelled_one_have_no_answer_and_those_beside_them_have(model):
    texts = []
    asked = [Asked("Are there any cars?", on_text=texts.append), Asked(" "), Asked("Am I moving?", cancelled=lambda: True)]
    asked += [Asked("car " * 1900), Asked("Are there any buses?")]
    first, empty, cancelled, long, last = session(model).ask_all(asked)
    assert str(empty) == "the question is empty" and isinstance(empty, BadInput)
    assert isinstance(cancelled, Cancelled)
    assert isinstance(long, BadInput) and "characters long" in str(long)
    assert texts == [first.answer]
    assert last.confidence == pytest.approx(session(model).ask("Are there any buses?").confidence, rel=1e-4)


def test_a_question_too_long_for_the_llm_is_refused_and_those_beside_it_are_answered(model, monkeypatch):
    monkeypatch.setattr(model.llm.config, "max_position_embeddings", 30)
    one, long, other = session(model).ask_all([Asked("Are there any cars?"), Asked("car " * 40), Asked("Am I moving?")])
    assert isinstance(long, BadInput) and "tokens long" in str(long)
    assert one.answer == session(model).ask("Are there any cars?").answer
    assert other.answer == session(model).ask("Am I moving?").answer


def test_where_nothing_is_plugged_and_evidence_is_required_each_is_refused(model):
    assistant = Assistant(model, LlmConfig(require_evidence=True), Clock())
    outcomes = list(assistant.ask_all([Asked("Are there any cars?"), Asked("Am I moving?")]))
    assert all("no sensor is plugged" in str(outcome) for outcome in outcomes)
