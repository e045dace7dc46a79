# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Comparison of plans on the same drives, with the weights of a tiny model: plan table, figures and picture."""

from __future__ import annotations

import json

import pytest
from tiny_model import make_tiny_model

from mmllm_ros.cli import main
from mmllm_ros.context.plan_table import PlanTable
from mmllm_ros.evaluation.plan_comparison import WEATHER_SCHEDULE, weather_at
from mmllm_ros.evaluation.plan_comparison_report import ORDER, summarise


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    assert main(["plan", "--scenes", "2", "--each", "4", "--depths", "1,3", "--model", str(folder), "--device", "cpu"]) == 0
    return folder


def test_the_table_holds_every_set_and_depth_with_its_cost(model):
    table = PlanTable.read(model / "plan_table.json")
    assert table.depths == (1, 3) and len(table.options) == 1 + 2 * 7
    assert set(table.encoders) == {"camera", "lidar", "imu"}
    assert all(cost.flops > 0 and cost.seconds > 0 and cost.memory > 0 for cost in table.encoders.values())
    asked = {sum(cell[1] for rows in option.counts.values() for cell in rows.values()) for option in table.options}
    assert asked == {8.0}
    by_set = {(option.modalities, option.linked_blocks): option.flops for option in table.options}
    assert by_set[(), 0] < by_set[("imu",), 1] < by_set[("imu",), 3] < by_set[("camera", "imu", "lidar"), 3]


def test_a_scenario_compares_every_plan_and_draws(model, tmp_path):
    file = tmp_path / "f.json"
    common = ["--duration", "4", "--model", str(model), "--device", "cpu", "--out", str(tmp_path), "--json", str(file)]
    assert main(["compare-plans", "day_to_night_fog", *common]) == 0
    report = json.loads(file.read_text())
    assert set(ORDER) <= set(report)
    assert all({"accuracy", "flops", "cpu_s"} <= set(report[plan]) for plan in ORDER)
    assert report["questions"] == 5 and report["ours"]["switches_per_min"] >= 0
    always = report["always_on"]
    # All modalities are encoded twice a second, and asked about once.
    assert report["all_when_asked"]["flops"] < always["flops"]
    assert report["ours"]["flops"] <= report["all_when_asked"]["flops"]
    assert report["oracle"]["accuracy"] >= max(report[plan]["accuracy"] for plan in ("camera", "lidar", "imu", "best_pair"))
    assert (tmp_path / "drive_context.png").stat().st_size > 20_000


def test_light_and_weather_go_through_every_name_and_back():
    names = [weather_at(second + 10, 180.0).name for second, _ in WEATHER_SCHEDULE]
    assert names == ["day", "dusk", "night", "glare", "fog", "rain", "day"]
    assert weather_at(5.0, 18.0) == weather_at(50.0, 180.0)


def test_switches_shortly_after_a_true_change_are_not_stray():
    def step(second, plugged, truth="day", drive=0):
        costs = {f"{plan} {key}": 1 for plan in ("always_on", "ours") for key in ("right", "asked", "flops")}
        return {"drive": drive, "second": second, "plugged": plugged, "truth": truth, "context": truth, "broken": [], **costs}

    timeline = [step(0, ["camera"]), step(30, ["camera"], "fog"), step(35, ["lidar"], "fog"), step(60, ["camera"], "fog")]
    rows = {plan: [{"right": 1, "asked": 1, "flops": 1.0, "cpu_s": 1.0}] * 4 for plan in (*ORDER, "a+b", "camera+imu+lidar")}
    report = summarise({"rows": rows, "timeline": timeline}, "test", 60.0)
    # Two modalities change at 35 s, five seconds after the fog came, and two at 60 s, without a reason.
    assert report["ours"]["switches_per_min"] == 4
    assert report["ours"]["stray_switches_per_10_s"] == pytest.approx(10 * 2 / 60)


def test_bad_options_are_refused_by_name(model, tmp_path, capsys):
    assert main(["plan", "--scenes", "1", "--depths", "9", "--model", str(model)]) == 2
    assert "not numbers between 1 and 3" in capsys.readouterr().err
    assert main(["compare-plans", "sunshine"]) == 2
    assert "sunshine" in capsys.readouterr().err
