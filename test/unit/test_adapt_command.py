# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm adapt`: from a recording to new serving weights, the figures of a scenario, and one line for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lidar_samples import ASKED, labelled_samples
from tiny_model import make_tiny_model

from mmllm_ros.adaptation.scenarios import SCENARIOS, half_view, sixteen_rings
from mmllm_ros.adaptation.state import AdaptationState
from mmllm_ros.cli import main
from mmllm_ros.datatypes import Question
from mmllm_ros.io.question_files import read_questions, write_questions
from mmllm_ros.model import Model
from mmllm_ros.rig import load_rig


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


def test_an_adaptation_on_a_labelled_recording_replaces_the_serving_weights(model, tmp_path, capsys):
    assert main(["simulate", "--frames", "20", "--out", str(tmp_path / "drives")]) == 0
    labelled = tmp_path / "drives" / "train"
    seeds = {question.sample_token: question.seed for question in read_questions(labelled / "questions.json")}
    # The tiny model answers at random: a scene and an answer that are always the same can be learned.
    asked = [Question(ASKED[0], "yes", "exist", 0, token, seed=seed) for token, seed in seeds.items()]
    write_questions(labelled / "questions.json", asked, "train")
    where = ["--model", str(model), "--state", str(tmp_path / "state"), "--json", str(tmp_path / "out.json")]
    assert main(["adapt", "--modality", "lidar", "--recording", str(labelled), *where]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    printed = capsys.readouterr().out
    assert "planned: connector, last 3 blocks" in printed and result["message"].split(":")[0] in printed
    assert result["success"] and result["accuracy_after"] == 1.0 and result["samples"] == len(asked)
    assert result["curve"][0]["step"] == 0 and result["curve"][-1]["step"] == result["estimate"]["steps"]
    serving = AdaptationState(tmp_path / "state", model).serving()
    assert str(serving) == result["serving"] and Model.load(serving, "cpu").revision == result["revision"]


def test_the_samples_kept_by_the_robot_can_be_trained_on(model, tmp_path):
    state = AdaptationState(tmp_path, model)
    for sample in labelled_samples(Model.load(model, "cpu")):
        state.replay_buffer.add(sample)
    out = tmp_path / "out.json"
    (tmp_path / "limits.yaml").write_text("flops: 1e12")
    where = ["--model", str(model), "--state", str(tmp_path), "--json", str(out)]
    assert main(["adapt", "--modality", "lidar", "--settings", str(tmp_path / "limits.yaml"), *where]) == 0
    assert json.loads(out.read_text())["success"]


def test_a_scenario_writes_its_figures_and_its_curve(tmp_path):
    out = tmp_path / "add_lidar.json"
    assert main(["adapt-scenario", "add_lidar", "--questions", "16", "--scenes", "2", "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    promised = ("gain_fraction", "seconds", "flops", "peak_memory_mb")
    promised += ("accuracy_before", "accuracy_after", "accuracy_full", "blind")
    assert all(isinstance(figures[name], float) for name in promised)
    rows = (tmp_path / "add_lidar.csv").read_text().splitlines()
    assert rows[0].startswith("step,seconds,accuracy") and len(rows) > 5
    assert (tmp_path / "add_lidar.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "modalities is empty"),
        (["--modality", "lidar"], "0 usable samples"),
        (["--modality", "lidar", "--recording", "/nowhere"], "/nowhere"),
        (["--modality", "lidar", "--settings", "{margin}"], "margin is 7.0, not between 0.0 and 1.0"),
    ],
)
def test_bad_input_is_one_line_and_status_2(model, tmp_path, capsys, arguments, complaint):
    margin = tmp_path / "margin.yaml"
    margin.write_text("margin: 7")
    arguments = [argument.format(margin=margin) for argument in arguments]
    assert main(["adapt", "--model", str(model), "--state", str(tmp_path / "state"), *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


def test_the_changed_rigs_are_another_lidar_and_other_lenses():
    rig = load_rig("nuscenes")
    assert sixteen_rings(rig).lidar.rings == 16 and sixteen_rings(rig).lidar.position[2] < rig.lidar.position[2]
    assert [2 * mount.fov for mount in half_view(rig).cameras] == pytest.approx([mount.fov for mount in rig.cameras])
    assert set(SCENARIOS) == {"add_lidar", "self_taught_night", "lidar_16_rings", "camera_half_fov"}
