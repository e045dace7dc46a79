# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Generated questions: wordings, vocabulary, answer balance, and the text description that replaces sensors."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pytest
from scenes import AROUND, random_scene, scene, thing

from mmllm_ros.datatypes import BadInput
from mmllm_ros.encoders.proposals import COLOURS
from mmllm_ros.simulator.questions.answer_balance import BlindBaseline
from mmllm_ros.simulator.questions.programs import run
from mmllm_ros.simulator.questions.proposals import QUESTION_COLOURS
from mmllm_ros.simulator.questions.question_maker import ANSWERS, NUSCENES_ANSWERS, ask, vocabulary
from mmllm_ros.simulator.questions.scene_graph import SceneGraph
from mmllm_ros.simulator.questions.templates import BY_TYPE, TEMPLATES
from mmllm_ros.simulator.questions.text_description import describe
from mmllm_ros.simulator.truth import EgoMotion
from mmllm_ros.simulator.world.shapes import PAINTS


@cache
def _asked(split="train", scenes=200):
    rng, baseline = np.random.default_rng(0), BlindBaseline()
    return [question for _ in range(scenes) for question in ask(random_scene(rng), AROUND, rng, 20, split, baseline=baseline)]


def _words(sentence):
    return re.findall(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]", sentence)


def test_the_thirty_answers_of_nuscenes_qa_come_first():
    assert len(NUSCENES_ANSWERS) == len(set(NUSCENES_ANSWERS)) == 30
    assert ANSWERS[:30] == NUSCENES_ANSWERS
    assert len(ANSWERS) == len(set(ANSWERS))


def test_every_type_and_template_is_asked():
    assert {question.details["template"] for question in _asked()} == {template.name for template in TEMPLATES}
    assert set(BY_TYPE) == {"exist", "count", "object", "status", "comparison", "distance", "light", "ego"}


def test_the_same_generator_state_asks_the_same():
    truth = random_scene(np.random.default_rng(3))
    first, again = (ask(truth, AROUND, np.random.default_rng(5), 10) for _ in range(2))
    assert first == again
    assert len({question.question for question in first}) == 10


def test_every_word_of_questions_and_answers_is_in_the_vocabulary():
    known = set(vocabulary())
    for question in (*_asked(), *_asked("test", 40)):
        assert set(_words(question.question)) <= known
        assert set(_words(question.answer)) <= known
        assert question.answer in ANSWERS


def test_a_held_out_wording_is_asked_only_in_the_test_split_and_has_no_word_of_its_own():
    trained = {word for template in TEMPLATES for wording in template.wordings for word in _words(wording)}
    for template in TEMPLATES:
        assert not set(template.held_out) & set(template.wordings)
        assert {word for wording in template.held_out for word in _words(wording)} <= trained, template.name
    assert {question.details["wording"] for question in _asked()} == {"known"}
    assert {question.details["wording"] for question in _asked("test", 40)} == {"known", "held out"}


def test_an_unknown_split_is_refused():
    with pytest.raises(BadInput, match="'dev' is not one of"):
        ask(scene(), AROUND, np.random.default_rng(0), 1, "dev")


def test_yes_and_no_are_even_in_every_template_and_for_every_object_word():
    answers, by_word = defaultdict(Counter), defaultdict(Counter)
    for question in _asked()[500:]:  # the baseline is fitted by then
        if question.answer in ("yes", "no") and question.template_type in ("exist", "comparison", "ego"):
            answers[question.details["template"]][question.answer] += 1
            if question.details["template"] in ("exist", "exist_toward"):
                by_word[question.program.split(", ")[1].rstrip(")")][question.answer] += 1
    assert len(answers) >= 9
    for counts in (*answers.values(), *by_word.values()):
        # A group of 60 fair coins lies within three standard deviations, 0.19, of a half; the baseline leaves some bias.
        assert counts.total() < 60 or 0.31 <= counts["yes"] / counts.total() <= 0.69, (answers, by_word)


def test_no_count_and_no_class_is_the_answer_half_of_the_time():
    for kind, limit in (("count", 0.4), ("object", 0.3), ("status", 0.3), ("distance", 0.5)):
        counts = Counter(question.answer for question in _asked() if question.template_type == kind)
        assert counts.most_common(1)[0][1] / counts.total() <= limit, (kind, counts)


def test_impossible_statuses_are_never_asked():
    impossible = re.compile(
        r"(standing|rider) (bus|car|truck|trailer|construction)|(stopped|parked) (pedestrian|bicycle|motorcycle)"
        r"|moving (bicycle|motorcycle)|(moving|stopped|parked|standing|rider) (traffic|barrier)"
    )
    assert not [question.question for question in _asked() if impossible.search(question.question)]


def test_an_empty_scene_still_has_questions_and_a_scene_without_a_light_none_about_it():
    questions = ask(scene(), AROUND, np.random.default_rng(0), 30)
    assert {"exist", "count", "ego"} <= {question.template_type for question in questions}
    assert not [question for question in questions if "light" in question.question]


def test_a_description_states_place_class_colour_and_sensor_of_each_object():
    truth = scene(thing("car", 12.2, 5.1, "moving", "red"), thing("barrier", -3, -4), ego=EgoMotion(6, 0.2, -2), light="red")
    statements = describe(truth, AROUND, np.random.default_rng(0))
    assert all(one.text.endswith(f" {one.sensor}") for one in statements)
    # Along an axis at 30 degrees, (-3, -4) lies at -3 cos 30 - 4 sin 30 = -4.6 m, and (12.2, 5.1) at 13.1 m.
    barrier, car = "behind3 against30x5 against60x5 right4 against120x2 along150x1", "ahead12 along30x13 along60x11 left5"
    assert sorted(one.text for one in statements) == [
        f"barrier back right 5m {barrier} camera",
        f"barrier back right 5m {barrier} lidar",
        "ego braking imu",
        "ego moving camera",
        "ego moving imu",
        "ego moving lidar",
        "ego not accelerating imu",
        "ego turning left imu",
        f"moving car front 13m {car} against120x2 against150x8 lidar",
        f"moving red car front 13m {car} against120x2 against150x8 camera",
        "traffic light red camera",
    ]


def test_every_word_of_a_description_is_in_the_vocabulary_and_each_sensor_states_what_it_sees():
    known = set(vocabulary())
    for seed in range(50):
        rng = np.random.default_rng(seed)
        truth = random_scene(rng)
        statements = describe(truth, AROUND, rng, noise=rng.random())
        assert {word for one in statements for word in _words(one.text)} <= known
        graph = SceneGraph(truth, AROUND)
        for sensor, seen in graph.seen.items():
            stated = [one for one in statements if one.sensor == sensor and re.search(r" \d+m ", one.text)]
            assert len(stated) == seen.bit_count()


def test_questions_paints_and_encoders_have_the_same_colours():
    assert set(QUESTION_COLOURS) == set(PAINTS) == set(COLOURS)
    graph = SceneGraph(scene(thing("car", 10, 0, "moving", "red")), AROUND)
    assert run(("colour", ("the", ("pick", "any", "car"))), graph) == "red"
