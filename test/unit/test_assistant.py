# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The assistant: the readings of an answer, the reasons for unused ones, and invalid input."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import make_tiny_model

from mmllm_ros.assistant import UNLIKE, Assistant, Cancelled, softened
from mmllm_ros.config import LlmConfig
from mmllm_ros.context.question_classifier import SELF, classify_question
from mmllm_ros.datatypes import NANOSECONDS, BadInput, Plan, Tokens
from mmllm_ros.encoders.familiarity import FOLDER, fitted, load_familiarity, statistics
from mmllm_ros.model import Model, Scored

QUESTION = "are there any cars ?"
START = 1_000 * NANOSECONDS


class Clock:
    """A clock with a fixed time until it is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    return Model.load(make_tiny_model(tmp_path_factory.mktemp("model")), "cpu")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def assistant(model, clock) -> Assistant:
    return Assistant(model, LlmConfig(max_age=1.5), clock)


def reading(model: Model, modality: str, source: str = "front", age: float = 0.0, seed: int = 0) -> Tokens:
    """A reading whose stamp is `age` [s] before START."""
    generator = np.random.default_rng(seed)
    width = model.connectors[modality].shape["token_width"]
    values, places = (generator.normal(size=(5, n)).astype(np.float32) for n in (width, 3))
    return Tokens(modality, source, START - round(age * NANOSECONDS), values, places, model.encoder_revisions[modality])


def plan(linked_blocks: int = 0, **plugged: bool) -> Plan:
    reasons = {modality: "" if on else f"{modality} is blind" for modality, on in plugged.items()}
    return Plan(START, plugged, reasons, "night", linked_blocks)


def test_an_answer_names_its_evidence(assistant, model):
    assistant.put(reading(model, "camera", "front", age=0.3))
    assistant.put(reading(model, "camera", "back", age=0.1))
    assistant.put(reading(model, "imu", "imu", age=0.2))
    answer = assistant.ask(QUESTION, "q1")
    found = [(item.modality, item.source, item.age) for item in answer.evidence]
    assert found == [("camera", "back", 0.1), ("camera", "front", 0.3), ("imu", "imu", 0.2)]
    assert answer.unplugged == {"lidar": "no data received yet"}
    assert answer.stamp == START - round(0.1 * NANOSECONDS)
    assert (answer.question_id, answer.question, answer.model, answer.revision) == ("q1", QUESTION, "tiny", model.revision)
    assert answer.answer in model.answers and 0 < answer.confidence < 1 and answer.latency > 0


def test_an_old_reading_is_not_used_and_the_answer_gives_its_age(assistant, model, clock):
    assistant.put(reading(model, "lidar"))
    clock.now += round(1.4 * NANOSECONDS)
    assert [item.modality for item in assistant.ask(QUESTION).evidence] == ["lidar"]
    clock.now += round(0.2 * NANOSECONDS)
    answer = assistant.ask(QUESTION)
    assert answer.evidence == ()
    assert answer.unplugged["lidar"] == "too old: 1.6 s, at most 1.5 s allowed"


def test_one_silent_camera_of_several_is_named(assistant, model):
    assistant.put(reading(model, "camera", "front"))
    assistant.put(reading(model, "camera", "left", age=7))
    answer = assistant.ask(QUESTION)
    assert [item.source for item in answer.evidence] == ["front"]
    assert answer.unplugged["camera/left"] == "too old: 7.0 s, at most 1.5 s allowed"


def test_the_reason_for_a_stamp_in_the_future_names_the_clock(assistant, model):
    assistant.put(reading(model, "imu", age=-30))
    assert assistant.ask(QUESTION).unplugged["imu"] == "stamped 30.0 s in the future, is its clock right?"


def test_the_plan_unplugs_with_its_reason(assistant, model):
    for modality in model.modalities:
        assistant.put(reading(model, modality))
    assistant.set_plan(plan(camera=False, lidar=True, imu=True))
    answer = assistant.ask(QUESTION)
    assert [item.modality for item in answer.evidence] == ["imu", "lidar"]
    assert answer.unplugged == {"camera": "unplugged by the plan: camera is blind"}


def test_an_unplugged_modality_has_no_effect(model, clock):
    both, alone = (Assistant(model, LlmConfig(), clock) for _ in range(2))
    for assistant in (both, alone):
        assistant.put(reading(model, "lidar"))
    both.put(reading(model, "camera"))
    both.ask(QUESTION)
    both.set_plan(plan(camera=False))
    assert (both.ask(QUESTION).answer, both.ask(QUESTION).confidence) == (
        alone.ask(QUESTION).answer,
        alone.ask(QUESTION).confidence,
    )


def test_nothing_plugged_is_said_with_the_confidence_of_a_guess(assistant, model, monkeypatch):
    monkeypatch.setattr(model, "temperature", 0.01)  # as sure as can be
    pieces = []
    answer = assistant.ask(QUESTION, on_text=pieces.append)
    assert answer.answer == "I cannot tell without the camera or the lidar" == pieces[-1]
    assert model.score(QUESTION, {}).confidence > 0.3 >= answer.confidence
    assert answer.evidence == () and answer.stamp == 0
    assert answer.unplugged == dict.fromkeys(("camera", "imu", "lidar"), "no data received yet")


def test_a_sensor_that_cannot_answer_the_question_does_not_answer_it(assistant, model):
    assistant.put(reading(model, "imu"))
    answer = assistant.ask(QUESTION)
    assert answer.answer == "I cannot tell without the camera or the lidar" and answer.confidence <= 0.3
    assistant.put(reading(model, "lidar"))
    assert assistant.ask(QUESTION).answer in model.answers


def test_a_question_of_no_known_type_is_answered_by_the_bare_llm_where_nothing_is_plugged(assistant, model):
    question = "to the front of me ?"
    assert classify_question(question).modalities == ()
    assert assistant.ask(question).answer == model.score(question, {}).answer


def test_evidence_can_be_required(model, clock):
    assistant = Assistant(model, LlmConfig(require_evidence=True), clock)
    missing = r"no sensor is plugged, and require_evidence is set \(camera: no data received yet, imu: no data"
    with pytest.raises(BadInput, match=missing):
        assistant.ask(QUESTION)
    assistant.put(reading(model, "imu"))
    assert assistant.ask(QUESTION).evidence


@pytest.mark.parametrize(("configured", "planned", "expected"), [(0, 0, 3), (0, 2, 2), (1, 2, 1), (0, 9, 3), (9, 1, 3)])
def test_linked_blocks_come_from_the_operator_then_the_plan_then_the_model(model, clock, configured, planned, expected):
    assistant = Assistant(model, LlmConfig(linked_blocks=configured), clock)
    tokens = reading(model, "camera")
    assistant.put(tokens)
    assistant.set_plan(plan(linked_blocks=planned, camera=True))
    scored = model.score(QUESTION, model.latents([tokens], expected))
    assert assistant.ask(QUESTION).confidence == scored.confidence


def test_a_second_question_on_the_same_frame_reuses_the_latents(assistant, model, monkeypatch):
    made = []
    original = model.latent_caches
    monkeypatch.setattr(model, "latent_caches", lambda tokens, n: made.append(tokens[0].modality) or original(tokens, n))
    for modality in ("camera", "imu"):
        assistant.put(reading(model, modality))
    first = assistant.ask(QUESTION)
    second = assistant.ask(QUESTION)
    assert sorted(made) == ["camera", "imu"]
    assert (first.answer, first.confidence) == (second.answer, second.confidence)
    assistant.put(reading(model, "imu", seed=1))
    third = assistant.ask(QUESTION)
    assert sorted(made) == ["camera", "imu", "imu"]
    assert third.confidence != second.confidence


def test_a_late_message_does_not_replace_a_newer_one(assistant, model):
    assistant.put(reading(model, "imu", age=0.1))
    assistant.put(reading(model, "imu", age=0.5))
    assert assistant.ask(QUESTION).evidence[0].age == pytest.approx(0.1)


def test_after_a_jump_back_in_time_new_readings_are_used(assistant, model, clock):
    assistant.put(reading(model, "imu"))
    clock.now -= 100 * NANOSECONDS
    assistant.put(reading(model, "imu", age=100))
    assert assistant.ask(QUESTION).evidence[0].age == 0.0


def test_clear_removes_readings_and_keeps_the_plan(assistant, model):
    assistant.put(reading(model, "imu"))
    assistant.set_plan(plan(camera=False))
    assistant.clear()
    answer = assistant.ask(QUESTION)
    assert answer.unplugged["imu"] == "no data received yet" and answer.unplugged["camera"].startswith("unplugged by the plan")


BAD_TOKENS = {
    "other encoder": (
        {"encoder": "0123456789ab"},
        r"camera/front come from encoder '0123456789ab', model tiny was made for '\w{12}'",
    ),
    "unknown modality": ({"modality": "radar"}, r"tokens of radar/front: model tiny takes only \['camera', 'imu', 'lidar'\]"),
    "other width": ({"values": np.zeros((5, 7), np.float32)}, r"camera/front have shape \[5, 7\], not \[1 to 4096, 59\]"),
    "no tokens": ({"values": np.zeros((0, 59), np.float32)}, r"camera/front have shape \[0, 59\]"),
    "too many": ({"values": np.zeros((5000, 59), np.float32)}, r"camera/front have shape \[5000, 59\]"),
    "flat": ({"values": np.zeros(59, np.float32)}, r"camera/front have shape \[59\]"),
    "places of others": ({"places": np.zeros((4, 3), np.float32)}, r"have places of shape \[4, 3\], not \[5, 3\]"),
    "not finite": ({"values": np.full((5, 59), np.nan, np.float32)}, r"camera/front hold values that are not finite"),
    "endless range": ({"places": np.full((5, 3), np.inf, np.float32)}, r"camera/front hold values that are not finite"),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_tokens_that_do_not_fit_are_refused_and_change_nothing(assistant, model, case):
    assistant.put(good := reading(model, "camera"))
    change, message = BAD_TOKENS[case]
    with pytest.raises(BadInput, match=message):
        assistant.put(dataclasses.replace(good, **change))
    assert assistant.ask(QUESTION).confidence == model.score(QUESTION, model.latents([good])).confidence


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("", "the question is empty"),
        (" \n\t", "the question is empty"),
        ("a" * 100_000, "the question is 100000 characters long"),
    ],
)
def test_an_empty_or_too_long_question_is_refused(assistant, question, message):
    with pytest.raises(BadInput, match=message):
        assistant.ask(question)


@settings(max_examples=50, deadline=None)
@given(question=st.text(max_size=2100))
def test_any_text_is_answered_or_refused_in_one_line(model, question):
    try:
        answer = Assistant(model, LlmConfig(), Clock()).ask(question)
    except BadInput as refusal:
        assert "\n" not in str(refusal)
    else:
        about_itself = classify_question(question).type == SELF  # "CAMERA" asks for the state of the camera
        assert answer.answer and (about_itself or 0 <= answer.confidence <= 0.3)


def test_the_answer_to_a_question_with_an_unknown_word_names_it(assistant, model):
    assistant.put(reading(model, "camera"))
    answer = assistant.ask("is there a xylophone ?")
    assert answer.answer == "this question is outside what I know (unknown word: 'xylophone')"
    assert answer.confidence == 0.0


def test_the_answer_is_streamed_and_can_be_cancelled(assistant):
    pieces = []
    answer = assistant.ask(QUESTION, on_text=pieces.append)
    assert "".join(pieces) == answer.answer
    with pytest.raises(Cancelled):
        assistant.ask(QUESTION, cancelled=lambda: True)


def test_a_description_is_composed_from_scored_facts_streamed_and_can_be_cancelled(assistant, model):
    assert assistant.ask("What is behind me?").answer.startswith("I cannot tell without the camera or the lidar")
    assistant.put(reading(model, "camera"))
    pieces = []
    answer = assistant.ask("Describe what is around me.", on_text=pieces.append)
    assert answer.answer == "".join(pieces) and answer.answer.endswith(".") and answer.answer not in model.answers
    assert [item.modality for item in answer.evidence] == ["camera"]
    with pytest.raises(Cancelled):
        assistant.ask("What is behind me?", cancelled=lambda: True)


def test_put_during_ask_does_not_mix_frames(model, clock):
    assistant = Assistant(model, LlmConfig(), clock)
    frames = [reading(model, "lidar", seed=seed) for seed in range(4)]
    possible = {model.score(QUESTION, model.latents([frame])).confidence for frame in frames}
    assistant.put(frames[0])
    done = threading.Event()

    def feed():
        while not done.is_set():
            for frame in frames:
                assistant.put(frame)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        seen = {assistant.ask(QUESTION).confidence for _ in range(40)}
    finally:
        done.set()
        thread.join()
    assert seen <= possible


def test_two_assistants_of_one_model_are_independent(model, clock):
    assistants = [Assistant(model, LlmConfig(), clock) for _ in range(3)]
    assistants[0].put(reading(model, "camera", seed=1))
    assistants[1].put(reading(model, "camera", seed=2))
    expected = [assistant.ask(QUESTION).confidence for assistant in assistants]
    assert len(set(expected)) == 3
    wrong = []

    def ask(i):
        wrong.extend(i for _ in range(25) if assistants[i].ask(QUESTION).confidence != expected[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_reading_unlike_training_is_named_and_lowers_the_confidence(model, clock, tmp_path):
    readings = [reading(model, "lidar", seed=seed) for seed in range(90)]
    known = np.stack([statistics(tokens) for tokens in readings])
    (tmp_path / FOLDER).mkdir()
    fitted(known[:60], known[60:]).save(tmp_path / FOLDER / f"{model.encoder_revisions['lidar']}.safetensors")
    familiarity = load_familiarity(tmp_path)
    usual = reading(model, "lidar", seed=0)
    strange = dataclasses.replace(usual, values=usual.values + 5.0)
    confidences, notes = [], []
    for tokens, known in ((usual, familiarity), (strange, familiarity), (strange, None)):
        assistant = Assistant(model, LlmConfig(), clock, familiarity=known)
        assistant.put(tokens)
        answer = assistant.ask(QUESTION)
        confidences.append(answer.confidence)
        notes.append(answer.evidence[0].note)
    assert notes == ["", UNLIKE, ""] and confidences[1] < confidences[2]
    # The border lies outside of the readings that were held out, so no usual reading is beyond it.
    assert all(familiarity[tokens.encoder].distance(tokens) < 1.0 for tokens in readings)


def test_a_distribution_is_softened_by_a_temperature_and_keeps_its_best_answer():
    # With temperature 2 the shares of 0.8 and 0.2 are as their roots: 2 to 1.
    soft = softened(Scored("yes", 0.8, {"yes": 0.8, "no": 0.2}), 2.0)
    assert soft.answer == "yes" and soft.distribution == pytest.approx({"yes": 2 / 3, "no": 1 / 3}) and soft.confidence > 0.66


def test_below_the_least_confidence_the_answer_is_that_it_cannot_tell(model, clock):
    said = []
    assistant = Assistant(model, LlmConfig(least_confidence=1.0), clock)
    assistant.put(reading(model, "lidar"))
    answer = assistant.ask(QUESTION, on_text=said.append)
    assert answer.answer.startswith("I cannot tell: I would be ") and said == [answer.answer] and answer.confidence < 1.0
    assistant.config = LlmConfig()
    assert assistant.ask(QUESTION).answer in model.answers
