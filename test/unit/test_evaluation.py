# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation: figures on hand-made examples and on a recording written by the tests."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from nuscenes_folder import write_folder
from rich.console import Console
from tiny_model import make_tiny_model

from mmllm_ros.cli import main
from mmllm_ros.datasets.examples import Example, modality_sets
from mmllm_ros.datasets.recorded import from_nuscenes, from_recording
from mmllm_ros.datasets.simulated import simulated_examples
from mmllm_ros.datasets.simulated_recording import simulate
from mmllm_ros.datatypes import BadInput, Question, Tokens
from mmllm_ros.encoders import load_encoder
from mmllm_ros.evaluation.accuracy import evaluate, plot_reliability, table
from mmllm_ros.evaluation.language_accuracy import measure
from mmllm_ros.evaluation.language_accuracy import table as language_table
from mmllm_ros.io.question_files import write_questions
from mmllm_ros.metrics.statistics import calibration_error, interval, reliability, wilson
from mmllm_ros.model import Model
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.questions.question_maker import ask

RIG = load_rig("front")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder):
    return Model.load(folder, "cpu")


def question(text: str, answer: str, kind: str = "exist") -> Question:
    details = {"wording": "known" if kind == "exist" else "held out"}
    return Question(text, answer, kind, 0, needs=(("camera",), ("lidar",)), details=details)


def examples(model: Model, count: int) -> list[Example]:
    rng = np.random.default_rng(0)
    made = []
    for index in range(count):
        tokens = tuple(
            Tokens(
                modality,
                modality,
                0,
                rng.normal(size=(6, connector.shape["token_width"])).astype(np.float32),
                rng.uniform(-1, 1, (6, 3)).astype(np.float32),
                model.encoder_revisions[modality],
            )
            for modality, connector in model.connectors.items()
        )
        questions = (question("are there any cars?", "yes"), question("how many trucks are there?", "2", "count"))
        made.append(Example(f"scene {index}", "day" if index % 2 else "night", tokens, questions))
    return made


def test_there_are_eight_sets_of_three_modalities_the_empty_first_and_the_full_last():
    sets = modality_sets(("lidar", "camera", "imu"))
    assert len(set(sets)) == 8 and sets[0] == () and sets[-1] == ("camera", "imu", "lidar")


def test_the_empty_set_scores_what_the_bare_llm_scores(model):
    asked = examples(model, 6)
    report = evaluate(model, asked, [q for moment in asked for q in moment.questions])
    bare = [model.score(q.question, {}).answer == q.answer for moment in asked for q in moment.questions]
    assert report["blind_llm"] == report["sets"]["none"]["overall"] == np.mean(bare)
    assert report["n"] == 12 and report["scenes"] == 6 and report["majority"] == 1.0
    assert set(report["sets"]) == {"+".join(chosen) or "none" for chosen in modality_sets(model.modalities)}
    assert report["sets"]["camera"]["oracle"]["overall"] == 1.0
    assert set(report["sets"]["imu"]["contexts"]) == {"day", "night"}
    assert set(report["sets"]["imu"]["wordings"]) == {"held out", "known"}
    json.dumps(report)


def test_accuracy_in_everyday_language_has_what_the_robot_says_beside_what_its_model_says(folder):
    rig = load_rig("front")
    model = Model.load(folder, "cpu")
    encoders = {name: load_encoder(folder / "encoders" / name, rig, "cpu") for name in model.modalities}
    asked = simulated_examples(encoders, rig, "test", 2, 0, each=2, language="everyday")
    # Daylight is not what this model knows; the robot tells it from the health of its camera.
    times = question("Is it day or night?", "night" if asked[0].context.startswith("night") else "day", "weather")
    asked = [replace(asked[0], questions=(*asked[0].questions, times)), asked[1]]
    report = measure(model, rig, asked, [one for moment in asked for one in moment.questions])
    alone, robot = (figures["accuracy"]["type: weather"]["right"] for figures in (report, report["robot"]))
    assert robot == 1.0 > alone
    json.dumps(report)
    out = io.StringIO()
    Console(file=out, width=160).print(language_table(report))
    assert "as the robot says it" in out.getvalue()


def test_wrong_frame_plugs_the_sensors_of_another_scene(model):
    first, second = examples(model, 2)
    asked = [first, second]
    report = evaluate(model, asked, list(first.questions))
    swapped = [replace(first, tokens=second.tokens), replace(second, tokens=first.tokens)]
    expected = evaluate(model, swapped, list(first.questions))
    assert report["wrong_frame"] == expected["sets"]["camera+imu+lidar"]["overall"]


def test_an_interval_over_scenes_is_wider_than_over_questions_that_repeat_each_other():
    rng = np.random.default_rng(1)
    right = np.repeat(rng.integers(0, 2, 40), 10).astype(float)
    by_scene = interval([str(i // 10) for i in range(400)], right)
    by_question = interval([str(i) for i in range(400)], right)
    # Ten copies of each result: the standard error over scenes is about the square root of ten larger.
    ratio = (by_scene[1] - by_scene[0]) / (by_question[1] - by_question[0])
    assert 2.4 < ratio < 4.0 and by_scene[0] < right.mean() < by_scene[1]


def test_reliability_counts_every_answer_once_and_compares_confidence_with_truth(tmp_path):
    low, high = reliability([0.95, 0.95, 0.35, 1.0], [1.0, 0.0, 1.0, 0.0])
    assert low == {"share": 0.25, "confidence": 0.35, "right": 1.0}
    assert high["share"] == 0.75 and high["right"] == pytest.approx(1 / 3)
    # 0.25 * |1 - 0.35| + 0.75 * |1/3 - (0.95 + 0.95 + 1) / 3|
    assert calibration_error([low, high]) == pytest.approx(0.25 * 0.65 + 0.75 * (2.9 / 3 - 1 / 3))
    plot_reliability({"reliability": [low, high], "model": "m", "ece": 0.5, "n": 4}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_wilsons_interval_agrees_with_the_literature():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == 1.0


def test_the_mistakes_are_the_most_confident_wrong_answers_with_the_index_of_their_moment(model):
    asked = examples(model, 4)
    mistakes = evaluate(model, asked, list(asked[0].questions))["mistakes"]
    assert mistakes and [item["confidence"] for item in mistakes] == sorted((m["confidence"] for m in mistakes), reverse=True)
    for item in mistakes:
        question = {q.question: q for q in asked[item["moment"]].questions}[item["question"]]
        assert item["truth"] == question.answer != item["answer"] and item["scene"] == asked[item["moment"]].scene


def test_more_modalities_plug_more_tokens_and_nothing_plugs_none(model):
    asked = examples(model, 2)
    costs = {name: row["cost"] for name, row in evaluate(model, asked, list(asked[0].questions))["sets"].items()}
    assert costs["none"]["tokens"] == 0 < costs["camera"]["tokens"] < costs["camera+imu+lidar"]["tokens"]
    assert all(0 < cost["p50"] <= cost["p95"] for cost in costs.values())


def test_the_table_names_every_set_and_the_blind_baselines(model):
    asked = examples(model, 2)
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(table(evaluate(model, asked, list(asked[0].questions))))
    text = console.export_text()
    assert all(part in text for part in ("majority", "blind ngram", "camera+imu+lidar", "sensors of another scene", "ECE"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    out = tmp_path_factory.mktemp("drives") / "out"
    simulate(out, 4, 0, RIG, "day")
    return out / "train"


def test_a_recording_with_its_questions_is_a_data_set(folder, model, recorded):
    encoders = {name: load_encoder(folder / "encoders" / name, RIG, "cpu") for name in model.modalities}
    asked = from_recording(encoders, recorded / "recording", recorded / "questions.json", RIG)
    stamps = [int(moment.questions[0].sample_token) for moment in asked]
    assert stamps == sorted(set(stamps)) and sum(len(moment.questions) for moment in asked) > 6
    for moment, stamp in zip(asked, stamps, strict=True):
        assert {tokens.modality for tokens in moment.tokens} == {"camera", "lidar", "imu"}
        assert all(0 <= stamp - tokens.stamp < 20_000_000 for tokens in moment.tokens)


def test_a_question_file_whose_samples_are_no_stamps_is_refused(model, recorded, tmp_path):
    path = tmp_path / "questions.json"
    content = json.loads((recorded / "questions.json").read_text())
    content["questions"][0]["sample_token"] = "front-gate"
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput, match="front-gate"):
        from_recording({}, recorded / "recording", path, RIG)


def test_the_command_evaluates_a_recording_and_writes_a_report(folder, recorded, tmp_path):
    arguments = [
        recorded / "recording",
        "--questions",
        recorded / "questions.json",
        "--prior",
        recorded / "questions.json",
    ]
    status = main(["evaluate-recording", "--model", str(folder), *map(str, arguments), "--out", str(tmp_path)])
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert status == 0 and report["n"] > 6 and "camera+imu+lidar" in report["sets"]
    for mistake in report["mistakes"]:
        for kind, shape in (("camera", (320, 640, 3)), ("lidar", (320, 320, 3))):
            assert cv2.imread(str(tmp_path / "moments" / f"{mistake['moment']}.{kind}.jpg")).shape == shape
    assert (tmp_path / "reliability.png").stat().st_size > 5000


def test_the_command_evaluates_a_nuscenes_folder_with_a_nuscenes_qa_file(folder, tmp_path):
    rig = load_rig("nuscenes")
    drive = Drive(3, rig, "night")
    keyframes, questions = [], []
    for _ in range(3):
        drive.advance(0.5)
        snapshot = drive.capture()
        keyframes.append([*snapshot.cameras, snapshot.lidar, snapshot.imu])
        questions += ask(snapshot.truth, rig, np.random.default_rng(0), 4)
    tokens = write_folder(tmp_path / "nuscenes", keyframes)
    named = [replace(q, sample_token=tokens[i // 4 % 3]) for i, q in enumerate(questions)]
    write_questions(tmp_path / "questions.json", named, "val")
    arguments = [tmp_path / "nuscenes", "--questions", tmp_path / "questions.json"]
    arguments += ["--prior", tmp_path / "questions.json", "--json", tmp_path / "report.json"]
    assert main(["evaluate-recording", "--model", str(folder), *map(str, arguments)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["n"] == len(named) and set(report["sets"]["camera+imu+lidar"]["contexts"]) == {"night"}


def test_the_command_refuses_a_recording_without_questions(capsys):
    assert main(["evaluate-recording", "somewhere"]) == 2
    assert "--questions" in capsys.readouterr().err


def test_a_folder_that_is_not_nuscenes_is_refused(tmp_path, recorded):
    with pytest.raises(BadInput, match=r"no folder v1\.0"):
        from_nuscenes({}, tmp_path, recorded / "questions.json")
