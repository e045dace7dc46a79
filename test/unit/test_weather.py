# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about daylight, fog and rain, answered from the context estimate."""

from __future__ import annotations

import dataclasses
from random import Random

import numpy as np
import pytest
from scenes import AROUND, random_scene

from mmllm_ros.context.context_estimate import Context
from mmllm_ros.dialogue.weather import answer_weather
from mmllm_ros.simulator.questions.everyday_kinds import ask_kinds
from mmllm_ros.simulator.questions.out_of_scope import out_of_scope
from mmllm_ros.simulator.questions.question_maker import ask
from mmllm_ros.simulator.truth import Weather

RAINY_NIGHT = Context("rain", "", {"light": 0.03, "rain": 0.6, "fog": 0.02}, {"light": 0.2, "rain": 0.2, "fog": 0.15})


def exact(weather: Weather) -> Context:
    """The truth as an estimate with small errors."""
    levels = {"light": weather.light, "fog": weather.fog, "rain": weather.rain}
    return Context(weather.name, "", levels, dict.fromkeys(levels, 0.02))


def best(chances: dict[str, float] | None) -> str | None:
    return max(chances, key=chances.__getitem__) if chances else None


@pytest.mark.parametrize(("split", "least"), [("train", 0.97), ("test", 0.9)])
def test_the_simulators_weather_questions_are_read_and_answered_rightly_and_no_others(split, least):
    read, asked = 0, 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        weather = Weather(light=rng.uniform(), fog=rng.uniform(), rain=rng.uniform())
        truth = dataclasses.replace(random_scene(rng), weather=weather)
        others = ask(truth, AROUND, rng, 8, split, seed=seed, language="everyday") + out_of_scope(Random(seed), 4, split)
        for question in (*ask_kinds(truth, AROUND, rng, 16, split), *others):
            answer = best(answer_weather(question.question, exact(weather)))
            if question.template_type != "weather":
                assert answer is None, question.question
            else:
                asked += 1
                read += answer is not None
                # Dusk is day for who does not speak of dusk.
                assert answer in (None, question.answer) or weather.daylight == "dusk", question.question
    assert asked > 100 and read >= least * asked


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Is it raining?", "yes"),
        ("hey robot, is it foggy right now", "no"),
        ("do you see any rain or fog", "yes"),
        ("has it become dark out there?", "yes"),
        ("Is it getting dark?", "no"),
        ("is it night or not", "yes"),
        ("what's the weather like?", "It is night and it rains."),
        ("Do you hear rain?", None),
        ("is it too rainy to drive?", None),
        ("will it rain tomorrow?", None),
        ("is it snowing?", None),
        ("do you see a dark car?", None),
        ("is the light green?", None),
        ("can you see at night?", None),
        ("can you see in the rain?", None),
    ],
)
def test_a_question_is_answered_where_it_asks_for_weather_alone(question, answer):
    assert best(answer_weather(question, RAINY_NIGHT)) == answer


def test_dusk_is_day_for_who_does_not_speak_of_dusk():
    dusk = Context("dusk", "", {"light": 0.3}, {"light": 0.1})
    answers = [best(answer_weather(text, dusk)) for text in ("Is it day or night?", "is it dark?", "Is it day?", "Is it dusk?")]
    assert answers == ["day", "no", "yes", "yes"]
    assert best(answer_weather("day, dusk or night: which is it now", dusk)) == "dusk"


def test_confidence_grows_with_the_distance_from_the_threshold_and_what_is_not_estimated_is_not_answered():
    rain = [answer_weather("is it raining", Context("", "", {"rain": level}, {"rain": 0.2}))["yes"] for level in (0.0, 0.22, 0.9)]
    assert rain == sorted(rain) and rain[0] < 0.2 and rain[1] == pytest.approx(0.5) and rain[2] > 0.99
    assert answer_weather("is it raining?", Context()) is None
    assert answer_weather("what is the weather like?", Context("", "", {"fog": 0.1}, {"fog": 0.1})) is None
    times = answer_weather("What time of day is it?", RAINY_NIGHT)
    assert sum(times.values()) == pytest.approx(1.0) and list(times) == ["day", "dusk", "night"]
