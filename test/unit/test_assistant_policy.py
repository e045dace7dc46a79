# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modalities of one question: unneeded ones are left out, needed ones are encoded, and every question has an answer."""

from __future__ import annotations

import numpy as np
import pytest
from test_assistant import QUESTION, START, Clock, reading
from test_modality_selection import GOOD
from tiny_model import make_tiny_model

from mmllm_ros.assistant import Assistant
from mmllm_ros.config import LlmConfig
from mmllm_ros.context.per_question import PerQuestionPolicy
from mmllm_ros.datatypes import MODALITIES, Plan
from mmllm_ros.model import Model

CONFIG = LlmConfig(max_age=1.5, fresh_for=0.6, epsilon=0.01)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    return Model.load(make_tiny_model(tmp_path_factory.mktemp("model")), "cpu")


class Encoders:
    """Encode the requested modalities except `dead`, and record them."""

    def __init__(self, model: Model, dead=()) -> None:
        self.model, self.dead, self.asked, self.assistant = model, dead, [], None

    def __call__(self, modalities, seconds: float) -> None:
        assert seconds == CONFIG.encode_timeout
        self.asked.append(list(modalities))
        for modality in modalities:
            if modality not in self.dead:
                self.assistant.put(reading(self.model, modality))


def session(model: Model, *dead: str) -> tuple[Assistant, Encoders]:
    encoders = Encoders(model, dead)
    encoders.assistant = Assistant(model, CONFIG, Clock(), PerQuestionPolicy(GOOD, {"front"}), encoders)
    return encoders.assistant, encoders


def plan(*plugged: str, available=MODALITIES) -> Plan:
    on = {modality: modality in plugged for modality in MODALITIES}
    reasons = {modality: "healthy" if modality in available else "black picture" for modality in MODALITIES}
    return Plan(START, on, reasons, "day", 0, available=tuple(sorted(available)))


def used(answer) -> list[str]:
    return [item.modality for item in answer.evidence]


def test_a_question_leaves_out_unneeded_modalities_with_a_reason(model):
    assistant, encoders = session(model)
    for modality in MODALITIES:
        assistant.put(reading(model, modality))
    assistant.set_plan(plan(*MODALITIES))
    answer = assistant.ask(QUESTION)
    # Both are encoded already, so that the better pair costs hardly more than one of them.
    assert used(answer) == ["camera", "lidar"]
    assert answer.unplugged == {"imu": "not used: it cannot tell whether objects are present"}
    assert encoders.asked == []


def test_an_unplugged_modality_that_a_question_needs_is_encoded_on_request(model):
    assistant, encoders = session(model)
    assistant.set_plan(plan("imu"))
    assert used(assistant.ask(QUESTION)) == ["camera"]
    assert encoders.asked == [["camera"]]


def test_tokens_that_are_not_fresh_are_encoded_again(model):
    assistant, encoders = session(model)
    assistant.put(reading(model, "camera", age=0.7))
    assistant.set_plan(plan("camera"))
    answer = assistant.ask(QUESTION)
    assert encoders.asked == [["camera"]] and answer.evidence[0].age == 0.0


def test_without_a_plan_table_what_is_plugged_is_encoded_on_request_where_nothing_is_encoded_ahead(model):
    encoders = Encoders(model)
    encoders.assistant = Assistant(model, CONFIG, Clock(), None, encoders)
    encoders.assistant.set_plan(plan("camera", "imu"))
    encoders.assistant.put(reading(model, "imu", "imu"))
    assert used(encoders.assistant.ask(QUESTION)) == ["camera", "imu"]
    assert encoders.asked == [["camera"]]


def test_a_question_is_answered_when_an_encoder_does_not_respond(model):
    assistant, encoders = session(model, "camera")
    assistant.put(reading(model, "imu", "imu"))
    assistant.set_plan(plan("imu"))
    answer = assistant.ask(QUESTION)
    assert encoders.asked == [["camera"]] and used(answer) == ["imu"]
    assert answer.unplugged["camera"].startswith("unplugged by the plan")


def test_an_unavailable_modality_is_not_encoded(model):
    assistant, encoders = session(model)
    assistant.set_plan(plan(available=("imu", "lidar")))
    answer = assistant.ask(QUESTION)
    assert used(answer) == ["lidar"] and encoders.asked == [["lidar"]]
    assert answer.unplugged["camera"] == "unplugged by the plan: black picture"


def test_a_question_of_unknown_type_uses_all_available_modalities(model):
    assistant, _ = session(model)
    assistant.set_plan(plan())
    assert used(assistant.ask("car ?")) == ["camera", "imu", "lidar"]


UNABLE = "I cannot tell without the camera or the lidar"


def test_no_answer_is_lost_during_a_thousand_random_switches(model):
    assistant, encoders = session(model)
    rng = np.random.default_rng(0)
    for _ in range(1000):
        on, good = ([m for m in MODALITIES if rng.random() < 0.5] for _ in range(2))
        encoders.dead = [m for m in MODALITIES if rng.random() < 0.3]
        assistant.set_plan(plan(*on, available=good))
        assert assistant.ask(QUESTION).answer in (*model.answers, UNABLE)
        if rng.random() < 0.05:
            assistant.clear()
