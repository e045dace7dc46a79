# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everyday English: a wording for every program, held-out parts in the test split only, and questions that nobody can answer."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from random import Random

import numpy as np
import pytest
from scenes import AROUND, random_scene

from mmllm_ros.datatypes import BadInput
from mmllm_ros.simulator.questions.everyday import CANNOT_TELL, grammar, reword, reword_all, word
from mmllm_ros.simulator.questions.out_of_scope import kinds, out_of_scope
from mmllm_ros.simulator.questions.programs import parse
from mmllm_ros.simulator.questions.question_maker import EVERYDAY_ANSWERS, ask
from mmllm_ros.simulator.questions.templates import TEMPLATES


@cache
def _asked(split="train", scenes=80, language="everyday"):
    rng = np.random.default_rng(0)
    return [
        question for seed in range(scenes)
        for question in ask(random_scene(rng), AROUND, rng, 20, split, seed=seed, language=language)
    ]  # fmt: skip


def _held_out_words():
    """Words and phrases that only held-out parts have, as they are found in a question."""
    table, found = grammar(), []
    for row in (*table["nouns"].values(), *table["words"].values(), *table["turns"].values()):
        found += [form for item in row["held_out"] for form in item.split("/")]
    return found


def test_every_template_is_asked_in_everyday_english_without_an_unfilled_slot():
    assert {question.details["template"] for question in _asked()} == {template.name for template in TEMPLATES}
    for question in (*_asked(), *_asked("test")):
        assert not re.search(r"[\[\]{}<>|/_]|  | [?.,;:]|\bNone\b|buss\b", question.question), question.question
        assert len(question.question.split()) >= 2, question.question


def test_the_language_changes_nothing_but_the_wording():
    plain = _asked(language="template")
    assert len(plain) == len(_asked()) and all("language" not in question.details for question in plain)
    for template, everyday in zip(plain, _asked(), strict=True):
        assert replace(everyday, question="", details={}) == replace(template, question="", details={})
        assert everyday.answer in EVERYDAY_ANSWERS


def test_no_held_out_part_is_in_a_question_of_the_training_split():
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, _held_out_words())) + r")s?\b", re.IGNORECASE)
    assert {question.details["wording"] for question in _asked()} == {"known"}
    for question in _asked():
        assert not pattern.search(question.question), question.question


def test_half_of_the_test_questions_have_held_out_parts_and_say_which():
    counts = Counter(question.details["wording"] for question in _asked("test"))
    assert 0.45 < counts["held out"] / counts.total() < 0.55
    parts = {question.details.get("held_out") for question in _asked("test")}
    assert parts == {None, "wording", "words", "wording and words"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_template_has_many_known_and_many_held_out_wordings_and_they_do_not_overlap(template):
    program = parse(next(question.program for question in _asked() if question.details["template"] == template.name))

    def wordings(held_out):
        random = Random(0)
        return {_bare(word(program, random, held_out)[0]) for _ in range(1000)}

    known, held_out = wordings(False), wordings(True)
    assert len(known) >= 100 and len(held_out) >= 100
    assert not known & held_out


def _bare(question):
    return question.lower().rstrip("?.")


def test_the_same_seed_words_a_stored_question_set_the_same():
    plain = _asked(language="template")[:200]
    assert reword_all(plain, 5, "test") == reword_all(plain, 5, "test") != reword_all(plain, 6, "test")
    mixed = Counter(question.details["language"] for question in reword_all(plain, 5, "train", "mixed"))
    assert 0.7 < mixed["everyday"] / mixed.total() < 0.9


def test_a_question_without_a_program_stays_and_an_unknown_language_or_operation_is_refused():
    question = replace(_asked()[0], program="")
    assert reword(question, Random(0)) == question
    with pytest.raises(BadInput, match="'klingon' is not one of"):
        reword_all([question], 0, "train", "klingon")
    with pytest.raises(BadInput, match="'klingon' is not one of"):
        ask(random_scene(np.random.default_rng(0)), AROUND, np.random.default_rng(0), 1, language="klingon")
    with pytest.raises(BadInput, match="no everyday wording for the operation 'sing'"):
        word(("sing",), Random(0))


def test_plurals_and_statuses_are_english():
    random = Random(0)
    buses = " ".join(word(parse("count(pick(any, bus))"), random)[0] for _ in range(50)).lower()
    assert "buses" in buses and "buss" not in buses.replace("buses", "")
    riderless = {_bare(word(parse("exist(pick(without rider, motorcycle))"), random)[0]) for _ in range(300)}
    assert any("a motorcycle without a rider" in question for question in riderless)


def test_hundreds_of_questions_out_of_scope_exist_and_the_test_split_has_kinds_of_its_own():
    train, test = out_of_scope(Random(0), 1500), out_of_scope(Random(1), 600, "test")
    assert len({question.question for question in train}) == 1500
    assert {question.answer for question in train} == {CANNOT_TELL}
    assert {question.needs for question in train} == {((),)}
    assert {question.details["template"] for question in train} == set(kinds()["known"])
    held_out = {question.details["template"] for question in test if question.details["wording"] == "held out"}
    assert held_out == set(kinds()["held_out"]) and not held_out & set(kinds()["known"])
    for question in (*train, *test):
        assert not re.search(r"[\[\]{}<>|/_]|  | [?.,;:]", question.question), question.question


def test_more_questions_out_of_scope_than_there_are_is_refused():
    with pytest.raises(BadInput, match="the grammar has only"):
        out_of_scope(_Stuck(), 3)


class _Stuck(Random):
    """Draws the first of everything, always."""

    def choice(self, seq):
        return seq[0]

    def random(self):
        return 0.5
