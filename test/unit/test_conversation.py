# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Follow-up questions become questions that stand alone, and questions that do so already stay as they are."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from scenes import AROUND, random_scene

from mmllm_ros.dialogue.conversation import Conversations, Turn, resolve
from mmllm_ros.dialogue.mentions import find_places, find_thing, whole_place
from mmllm_ros.simulator.questions.everyday_kinds import ask_kinds
from mmllm_ros.simulator.questions.out_of_scope import out_of_scope
from mmllm_ros.simulator.questions.question_maker import ask

DIALOGUES = (
    [
        ("Are there any cars ahead of me?", "yes", "Are there any cars ahead of me?"),
        ("and behind me?", "yes", "Are there any cars behind me?"),
        ("how many are there?", "2", "How many cars are there behind me?"),
        ("how many of them are moving?", "1", "How many of the cars behind me are moving?"),
        ("and parked?", "1", "How many of the cars behind me are parked?"),
        ("and on the left?", "0", "How many of the cars on the left are parked?"),
        ("what about trucks?", "1", "How many of the trucks on the left are parked?"),
        ("what colour is it?", "red", "What colour is the truck on the left?"),
    ],
    [
        ("What is behind us?", "bus", "What is behind us?"),
        ("What color is it?", "red", "What colour is the bus behind us?"),
        ("how far?", "10 to 20 metres", "How far away is the bus behind us?"),
        ("Is it moving", "yes", "Is the bus behind us moving?"),
        ("are you sure?", "...", "are you sure?"),
        ("and on my left?", "no", "Is the bus on my left moving?"),
        ("why?", "...", "How do you know?"),
    ],
    [
        ("How far is the nearest bus?", "over 20 metres", "How far is the nearest bus?"),
        ("what colour is that?", "red", "What colour is the nearest bus?"),
        ("And the nearest truck?", "red", "What colour is the nearest truck?"),
        ("and the one behind?", "blue", "What colour is the nearest truck behind me?"),
        ("what about the ones that are on my left?", "red", "What colour is the nearest truck on my left?"),
        ("and now?", "red", "What colour is the nearest truck on my left?"),
    ],
    [
        ("Is anyone in front of us?", "yes", "Is anyone in front of us?"),
        ("what are they doing?", "moving", "What are the people in front of us doing?"),
        ("and cyclists?", "...", "What are the cyclists in front of us doing?"),
        ("how many?", "2", "How many cyclists are there in front of us?"),
        ("and at 3 o'clock?", "0", "How many cyclists are there at 3 o'clock?"),
        ("are there any people there?", "no", "Are there any people at 3 o'clock?"),
    ],
    [
        ("Which is closer, the bus or the bike?", "bicycle", "Which is closer, the bus or the bike?"),
        ("how far is it?", "5 to 10 metres", "How far away is the bicycle?"),
    ],
    [
        ("There is a bus; how many cars are behind it?", "1", "There is a bus; how many cars are behind it?"),
        ("and in front of it?", "0", "There is a bus; how many cars are in front of it?"),
    ],
    [
        ("Am I turning left?", "no", "Am I turning left?"),
        ("or right?", "yes", "Am I turning right?"),
        ("still?", "no", "Am I turning right?"),
    ],
    [
        ("Is there a car on my right?", "yes", "Is there a car on my right?"),
        ("what about the left?", "yes", "Is there a car on my left?"),
        ("and an excavator?", "no", "Is there an excavator on my left?"),
        ("is there another one?", "no", "Is there another excavator?"),
    ],
    [
        ("What is ahead of me?", "traffic cone", "What is ahead of me?"),
        ("any buses?", "no", "any buses?"),
        ("who owns it?", "cannot tell", "Who owns the bus?"),
    ],
)  # fmt: skip


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue[0][0])
def test_a_follow_up_is_resolved_against_the_turns_before(dialogue):
    turns = []
    for asked, answer, expected in dialogue:
        question = resolve(asked, turns)
        assert question == expected
        turns.append(Turn(asked, question, answer))


@pytest.mark.parametrize(
    "question", ["and behind me?", "what colour is it?", "why?", "and now?", "", "?", "how many of them are moving?"]
)
def test_without_a_turn_before_a_question_stays(question):
    assert resolve(question, []) == question


def test_a_question_that_stands_alone_stays_word_for_word():
    rng = np.random.default_rng(1)
    questions = out_of_scope(Random(0), 200, "test")
    for _ in range(40):
        truth = random_scene(rng)
        questions += [*ask_kinds(truth, AROUND, rng, 8, "test"), *ask(truth, AROUND, rng, 12, "test", language="mixed")]
    for before in ("Is there a moving truck behind me?", "What is on my left?", "Am I braking?", "Are you sure?"):
        turns = [Turn(before, before, "yes")]
        changed = [q.question for q in questions if resolve(q.question, turns) != q.question]
        assert len(changed) <= 0.005 * len(questions), changed


def test_every_answer_and_every_question_can_be_followed_up():
    rng, fragments = (
        np.random.default_rng(2),
        ("and behind me?", "what colour is it?", "how many of them?", "and the buses?", "is it parked?"),
    )
    for _ in range(15):
        for question in ask(random_scene(rng), AROUND, rng, 12, "test", language="mixed"):
            turns = [Turn(question.question, question.question, question.answer)]
            for fragment in fragments:
                resolved = resolve(fragment, turns)
                assert resolved.strip() and "  " not in resolved and "{" not in resolved
                assert len(resolved) <= len(question.question) + 60


def test_conversations_are_bounded_and_apart():
    conversations = Conversations(most=2, turns=3)
    for number in range(5):
        conversations.add("a", f"q{number}", f"Is there a car at {number} o'clock?", "yes")
    assert [turn.asked for turn in conversations.turns("a")] == ["q2", "q3", "q4"]
    conversations.add("b", "Is there a bus?", "Is there a bus?", "no")
    assert conversations.resolve("b", "and trucks?") == "Is there a truck?"
    assert conversations.resolve("c", "and trucks?") == "and trucks?"
    conversations.add("c", "Is there a bus?", "Is there a bus?", "no")
    assert conversations.turns("a") == () and len(conversations.turns("b")) == 1


def test_a_question_without_an_id_is_not_remembered():
    conversations = Conversations()
    conversations.add("", "Is there a bus?", "Is there a bus?", "no")
    assert conversations.turns("") == () and conversations.resolve("", "and trucks?") == "and trucks?"


def test_a_thing_is_found_with_what_is_said_of_it_and_apart_from_places():
    thing = find_thing("how many parked cars with riders are there behind the bus")
    assert (thing.before, thing.one, thing.many, thing.after, thing.plural) == ("parked", "car", "cars", " with riders", True)
    assert find_thing("what is behind the bus") is None and find_thing("is anyone ahead").one == "person"
    question = "is a car behind me and to the left of the parked bus"
    assert [question[start:end] for start, end in find_places(question)] == ["behind me", "to the left of the parked bus"]


@pytest.mark.parametrize(
    ("fragment", "place"),
    [("the left", "on my left"), ("on the left", "on the left"), ("behind", "behind me"), ("behind us", "behind us"),
     ("back", "behind me"), ("at 3 o'clock", "at 3 o'clock"), ("the bus", ""), ("behind the bus", "behind the bus"), ("red", "")],
)  # fmt: skip
def test_a_place_is_told_from_what_is_none(fragment, place):
    assert whole_place(fragment) == place
