# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A question about signals is answered from the signals that the plan table of a universal encoder chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from signal_table import NEEDS, SIGNALS, make_signal_table
from tiny_model import tiny_llm, tiny_tokenizer
from tiny_universal_model import SMALL

from mmllm_ros.assistant import Assistant
from mmllm_ros.cli import main
from mmllm_ros.config import LlmConfig
from mmllm_ros.context.per_question import PerQuestionPolicy
from mmllm_ros.context.plan import HealthReport, Planner, Rules
from mmllm_ros.context.plan_table import ANY, FILE, STRENGTH, Option, PlanTable
from mmllm_ros.context.question_likeness import signal_questions
from mmllm_ros.context.question_scope import QuestionScopes
from mmllm_ros.context.scope_policy import ScopePolicy
from mmllm_ros.datatypes import Health, Plan, Tokens
from mmllm_ros.encoders.universal.encoder import LAYOUTS, UniversalEncoder
from mmllm_ros.latent.connector import Connector
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.model import Model
from mmllm_ros.question_policy import question_policy
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.signal_moment import render_moment

EVERYTHING = "array_audio_depth_normals"
TABLE = make_signal_table(audio=0.8, audio_depth=0.7, depth=0.6, depth_normals=0.75, **{EVERYTHING: 0.7})
SIREN, NEAR, BEHIND = "Do you hear a siren?", "Is anything within ten metres straight ahead?", "anything within 2 m behind me"


def plan(*available: str) -> Plan:
    reasons = {name: "healthy" if name in available else "silent, is the microphone muted?" for name in SIGNALS}
    return Plan(1, {name: name in available for name in SIGNALS}, reasons, "standing", 0, available=available)


def chosen(question: str, *available: str, table: PlanTable = TABLE) -> tuple[str, ...]:
    return PerQuestionPolicy(table).choose(question, plan(*available), (), 0.005).modalities


def test_a_question_is_answered_from_the_set_that_answers_its_kind_best():
    assert chosen(SIREN, *SIGNALS) == ("audio",)
    assert chosen(NEAR, *SIGNALS) == ("depth", "normals")
    assert chosen(BEHIND, *SIGNALS) == SIGNALS  # 70 % with all, 50 % otherwise
    assert chosen("Tell me a joke.", *SIGNALS) == SIGNALS


def test_what_is_not_available_is_not_chosen_and_without_what_a_question_needs_all_are():
    assert chosen(NEAR, "array", "audio", "depth") == ("audio", "depth")
    assert chosen(SIREN, "array", "depth", "normals") == ("array", "depth", "normals")
    assert chosen("Is the ground ahead level or rising?", "array", "audio", "normals") == ("normals",)


def test_a_question_between_two_kinds_gets_the_signals_of_both():
    policy = PerQuestionPolicy(make_signal_table(audio=0.9, array=0.9, depth=0.9, array_depth=0.8))
    assert policy.able("Is there something close ahead?") == ("array", "depth")
    assert policy.choose("Is there something close ahead?", plan(*SIGNALS), (), 0.005).modalities == ("array", "depth")


def test_a_signal_that_is_left_out_has_the_figures_as_its_reason():
    reasons = PerQuestionPolicy(TABLE).choose(SIREN, plan(*SIGNALS), (), 0.005).reasons
    assert reasons["depth"] == "not used: audio alone answers 80 % of the siren questions, with depth 70 %"
    assert set(reasons) == set(SIGNALS) - {"audio"}


def test_a_set_that_was_not_measured_for_a_kind_of_question_counts_as_nothing_plugged():
    depth = next(option for option in TABLE.options if option.modalities == ("depth",))
    assert TABLE.accuracy(depth, "siren", ANY) == pytest.approx(0.1)
    assert TABLE.accuracy(depth, "depth_near", ANY) == pytest.approx(0.6)


def test_few_questions_of_a_kind_lean_on_the_kinds_that_the_same_signals_answer():
    counts = {"siren": {ANY: (900.0, 1000.0)}, "siren_side": {ANY: (0.0, 40.0)}, "depth_near": {ANY: (100.0, 1000.0)}}
    table = PlanTable("tiny", "abc", "", TABLE.encoders, (Option(SIGNALS, 3, 1e8, 0.01, counts),), NEEDS)
    of_kind = STRENGTH * 900 / 1040 / (40 + STRENGTH)
    assert table.accuracy(table.options[0], "siren_side", "standing") == pytest.approx(of_kind)


def test_a_table_of_signals_is_read_as_it_was_written(tmp_path):
    TABLE.write(tmp_path / FILE)
    again = PlanTable.read(tmp_path / FILE)
    assert again.needs == NEEDS and chosen(SIREN, *SIGNALS, table=again) == ("audio",)


def test_the_monitor_keeps_plugged_what_questions_need_and_the_rest_is_encoded_on_request():
    planner = Planner(SIGNALS, make_signal_table(**dict.fromkeys(SIGNALS, 0.9)))
    reports = [HealthReport(Health(name, name, 1, 10.0, 0.1, 0.0, 0, {}, True, "", 0.0), 1) for name in SIGNALS]
    for _ in range(40):
        planner.add_question("Can you hear a siren?")
    result = planner.step(reports, {}, Rules(), 1)
    assert [name for name, on in result.plugged.items() if on] == ["audio"]
    assert result.available == SIGNALS and result.reasons["depth"].endswith("need it; it is encoded on request")


def test_beside_a_pack_the_models_own_signals_are_chosen_by_the_table():
    policy = ScopePolicy(QuestionScopes({"gas": ["Do you smell smoke?"]}, own=[SIREN, NEAR]), PerQuestionPolicy(TABLE))
    available = ("gas", *SIGNALS)
    choice = policy.choose(SIREN, plan(*available), (), 0.005)
    assert choice.modalities == ("audio",) and set(choice.reasons) == set(available) - {"audio"}
    assert policy.choose("Do you smell smoke?", plan(*available), (), 0.005).modalities == ("gas",)
    assert policy.able(SIREN) == ("audio",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model folder with a universal encoder for the four signals, random weights."""
    folder = tmp_path_factory.mktemp("universal")
    torch.manual_seed(0)
    layouts = {name: LAYOUTS[name].to_settings() for name in SIGNALS}
    encoder = UniversalEncoder(load_rig("front"), layouts, {"tokens": 4, "experts": 1, "blocks": 1}, backbone_shape=SMALL)
    encoder.save(folder / "encoders" / "universal")
    answers = sorted({question.answer for number in range(2) for question in render_moment("val", number).questions})
    tokenizer = tiny_tokenizer([*signal_questions(), *answers])
    llm = tiny_llm(len(tokenizer))
    connectors = {name: Connector(name, encoder.token_width, llm, 2, trunk=32, rank=4) for name in SIGNALS}
    revisions = dict.fromkeys(SIGNALS, encoder.revision)
    manifest = Manifest("tiny", answers=answers, encoder_revisions=revisions, attend_last=2)
    Model(llm, tokenizer, manifest, connectors).save(folder)
    for name in SIGNALS:
        (folder / "encoders" / name).symlink_to("universal")
    return folder


def test_the_command_measures_a_table_of_signals(folder, tmp_path):
    path = tmp_path / "table.json"
    common = ["--model", str(folder), "--device", "cpu", "--depths", "2", "--out", str(path)]
    assert main(["plan", "--scenes", "2", "--each", "6", *common]) == 0
    table = PlanTable.read(path)
    # Nothing, four signals, six pairs, all.
    assert len(table.options) == 12 and table.options[0].modalities == () and table.options[-1].modalities == SIGNALS
    assert table.needs["slope"] == ("depth", "normals") and "imu_moving" not in table.needs
    assert sum(table.question_counts.values()) == 12
    for option in table.options:
        asked = {kind for kind in table.question_counts if set(table.needs[kind]) & set(option.modalities)}
        assert set(option.counts) == (asked if option.modalities else set(table.question_counts))
    assert all(cost.flops > 0 and cost.seconds > 0 and cost.memory > 0 for cost in table.encoders.values())


def session(folder: Path) -> Assistant:
    TABLE.write(folder / FILE)
    model = Model.load(folder, "cpu")
    warnings = []
    policy = question_policy(folder, model, load_rig("front"), warnings.append)
    assert len(warnings) == 1 and "run `mmllm plan` again" in warnings[0]  # the made-up table is of another revision
    assistant = Assistant(model, LlmConfig(), lambda: 1, policy)
    rng = np.random.default_rng(0)
    for name, revision in model.encoder_revisions.items():
        assistant.put(Tokens(name, name, 1, rng.standard_normal((4, 24)).astype("f4"), np.zeros((4, 3), "f4"), revision))
    return assistant


def test_an_answer_uses_the_chosen_signals_and_says_why_the_others_are_not_used(folder):
    assistant = session(folder)
    assistant.set_plan(plan(*SIGNALS))
    answer = assistant.ask(SIREN)
    assert [item.modality for item in answer.evidence] == ["audio"]
    assert answer.unplugged["array"] == "not used: audio alone answers 80 % of the siren questions, with array 70 %"
    assert set(answer.unplugged) == {"array", "depth", "normals"}
    assert [item.modality for item in assistant.ask(NEAR).evidence] == ["depth", "normals"]


def test_without_the_signal_that_a_question_needs_the_answer_says_so(folder):
    assistant = session(folder)
    assistant.set_plan(plan("array", "depth", "normals"))
    answer = assistant.ask(SIREN)
    assert answer.answer == "I cannot tell without the audio"
    assert answer.unplugged["audio"] == "unplugged by the plan: silent, is the microphone muted?"
    # Not named by what it hears, but like a question about the siren.
    assert "audio" in session(folder)._wanted("Is the siren approaching or moving away?", "").modalities
