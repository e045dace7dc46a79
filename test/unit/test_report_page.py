# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The report page: content, refused input, and layout in a real browser at several widths, without a network."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import CHROMIUM, browser
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from mmllm_ros.cli import main
from mmllm_ros.datatypes import Answer, BadInput, Evidence
from mmllm_ros.visualization.drawing import AnswerSnapshot
from mmllm_ros.visualization.report_page.build import build_page
from mmllm_ros.visualization.run_log import RunLog

NASTY = "<script>alert('car')</script>"


def answer(question: str, said: str, sure: float, modalities: tuple[str, ...]) -> Answer:
    evidence = tuple(Evidence(name, name, 5, 0.2) for name in modalities)
    out = {name: "black picture" for name in ("camera", "lidar", "imu") if name not in modalities}
    return Answer(5, "q", question, said, sure, evidence, out, 0.05, "drive_tiny", "abc")


def drive(folder: Path) -> Path:
    """Eight answers of a real run log: half of them right, the camera out from the fifth on, night from the third."""
    run_log = RunLog(folder, Console(file=io.StringIO()))
    image, points = np.full((80, 160, 3), 90, np.uint8), np.ones((50, 4), np.float32)
    for number in range(8):
        said = answer(f"{NASTY} {number}?", "yes", 0.1 + number / 10, ("camera", "lidar") if number < 4 else ("lidar",))
        context = "day" if number < 2 else "night"
        run_log.add(AnswerSnapshot({"front": image}, points, said, "yes" if number % 2 else "no", context), 2.0 * number)
    run_log.close()
    return folder


def evaluation(folder: Path) -> Path:
    row = {
        "overall": 0.6, "low": 0.5, "high": 0.7, "exist": 0.6, "spans": {"exist": [0.5, 0.7]},
        "cost": {"tokens": 14.0, "p50": 0.01, "p95": 0.02},
    }  # fmt: skip
    floor = {"overall": 0.4, "exist": 0.4}
    mistake = {
        "question": "Are there any cars?", "answer": "no", "truth": "yes", "confidence": 0.9, "type": "exist",
        "context": "day", "scene": "sim-7", "moment": 3,
    }  # fmt: skip
    report = {
        "n": 100, "scenes": 10, "gain_over_blind": 0.2, "wrong_frame": 0.4, "ece": 0.05, "model": "drive_tiny", "revision": "abc",
        "floors": {"majority": floor, "blind_ngram": floor}, "sets": {"none": {**row, **floor}, "camera": row},
        "reliability": [{"share": 0.5, "confidence": 0.4, "right": 0.5}, {"share": 0.5, "confidence": 0.8, "right": 0.7}],
        "mistakes": [mistake],
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(report))
    return folder


def test_the_page_of_a_drive_shows_correctness_and_plugged_modalities(tmp_path):
    page = build_page(drive(tmp_path))
    assert "8 questions asked, 4 of 8 answered right: 50\xa0% (95 % interval 22 to 78\xa0%)" in page
    assert "camera + lidar" in page and "By context" in page and "night" in page and "camera: black picture" in page
    # every wrong answer with both of its pictures; the right ones that were kept are the moments
    assert page.count("data:image/jpeg;base64,") == 2 * len(
        {path.name.split(".")[0] for path in (tmp_path / "moments").iterdir()}
    )


def adaptation(folder: Path) -> Path:
    """As `mmllm adapt --scenario add_lidar --json` writes it."""
    curve = [{"step": step, "seconds": 2.0 * step, "accuracy": 0.45 + 0.02 * step, "loss": 1.0} for step in range(6)]
    report = {
        "scenario": "add_lidar", "gain_fraction": 0.8, "seconds": 10.0, "flops": 2e12, "peak_memory_mb": 700.0,
        "accuracy_before": 0.45, "accuracy_after": 0.55, "accuracy_full": 0.6, "blind": 0.4, "test_questions": 500,
        "samples": 600, "message": "the new weights are better", "curve": curve,
    }  # fmt: skip
    (folder / "adapt.json").write_text(json.dumps(report))
    return folder


def test_the_page_of_an_adaptation_compares_before_and_after_with_blind_and_full(tmp_path):
    page = build_page(adaptation(tmp_path))
    assert "Adaptation scenario: add lidar" in page and "Right answers during training" in page
    assert "45\xa0% of the answers were right before, 55\xa0% after" in page
    assert all(part in page for part in ("the best guess without sensors", "trained in full", "80\xa0%", "2,000 GFLOP", "700 MB"))
    assert "41 to 49\xa0%" in page  # Wilson: 225 of 500 right
    # The axis is cut to the tens around 40 to 60 %, and begins a little below the lowest line.
    assert [f">{tick}</text>" in page for tick in (20, 30, 40, 50, 60, 70, 80)] == [False, True, True, True, True, True, False]


def test_an_adaptation_on_a_robot_shows_its_own_message(tmp_path):
    report = json.loads((adaptation(tmp_path) / "adapt.json").read_text())
    del report["scenario"]
    (tmp_path / "adapt.json").write_text(json.dumps({**report, "curve": []}))
    page = build_page(tmp_path)
    assert "Adaptation on the robot" in page and "the new weights are better." in page and "during training" not in page


def test_the_page_of_a_scenario_compares_plans(tmp_path):
    plan = {"accuracy": 0.6, "flops": 1e9, "cpu_s": 2.0, "questions": 50, "flops_share": 0.5, "cpu_share": 0.4}
    names = ("always_on", "camera", "ours", "oracle", "random")
    report = dict.fromkeys(names, plan) | {"best_pair": {**plan, "pair": "camera+imu"}}
    report |= {"ours": {**plan, "switches_per_min": 1.5}, "scenario": "day_to_night_fog", "duration": 180.0, "drives": 2}
    report |= {"questions": 50, "context_right": 0.9}
    (tmp_path / "scenario.json").write_text(json.dumps(report))
    page = build_page(tmp_path)
    assert "day to night fog" in page and "the best pair: camera + imu" in page and "50\xa0% of the operations" in page
    assert page.index("the context monitor<") < page.index("everything, always<") < page.index("camera alone<")
    assert "<img" not in page
    (tmp_path / "drive_context.png").write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    assert 'src="data:image/png;base64,' in build_page(tmp_path)


def test_what_comes_from_the_run_is_text_and_never_markup(tmp_path):
    page = build_page(drive(tmp_path))
    assert "<script" not in page and "&lt;script&gt;" in page


def test_nothing_in_the_page_lies_elsewhere(tmp_path):
    page = build_page(evaluation(drive(tmp_path)))
    assert not [word for word in ("http://", "https://", 'src="/', "@import", "url(") if word in page]
    assert "default-src 'none'" in page


def test_answers_without_a_known_truth_are_shown_ungraded(tmp_path):
    run_log = RunLog(tmp_path, Console(file=io.StringIO()))
    run_log.add(AnswerSnapshot({}, None, answer("Am I moving?", "yes", 0.7, ("lidar",))), 1.0)
    run_log.close()
    page = build_page(tmp_path)
    assert "accuracy is not measured" in page and "Is the confidence calibrated?" not in page
    assert "Mistakes with the highest confidence" not in page


def test_the_command_writes_one_file_beside_the_run(tmp_path, capsys):
    assert main(["report", str(evaluation(tmp_path / "out"))]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<h1>Accuracy</h1>" in page and "sim-7" in page
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({}, "holds no results"),
        ({"drive.jsonl": ""}, "holds no results"),
        ({"other.json": '{"a": 1}'}, "holds no results"),
        ({"drive.jsonl": "{"}, "drive.jsonl cannot be read"),
        ({"drive.jsonl": '{"evidence": []}'}, "drive.jsonl cannot be shown: KeyError"),
        ({"evaluation.json": '{"sets": {}}'}, "evaluation.json cannot be shown"),
        ({"a.json": "[" * 100_000}, "a.json cannot be read"),
        ({"adapt.json": '{"accuracy_before": "high"}'}, "adapt.json cannot be shown"),
        (
            {"scenario.json": '{"always_on": {}, "ours": {}, "drives": 1, "scenario": "../secret"}'},
            "scenario.json cannot be shown",
        ),
    ],
)
def test_a_folder_that_is_no_run_is_refused_in_one_line_and_status_2(tmp_path, capsys, files, named):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert main(["report", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert named in line


VALUE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["question", "modality", "age"]), inner),
    max_leaves=6,
)
RECORD = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("question", "answer", "truth", "confidence", "latency", "evidence", "unplugged", "time", "context", "model", "revision",
         "sets", "accuracy_before"), VALUE
    ),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(RECORD, min_size=1, max_size=3))
def test_any_record_is_shown_or_refused(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("run")
    (folder / "drive.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    try:
        assert build_page(folder).startswith("<!doctype html>")
    except BadInput as error:
        assert "\n" not in str(error)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The page of a drive and an evaluation, and a browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: .ci/browser installs it where apt has one")
    folder = tmp_path_factory.mktemp("run")
    file = folder / "report.html"
    file.write_text(build_page(adaptation(evaluation(drive(folder)))))
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page, file.as_uri()


@pytest.mark.parametrize(("width", "dark"), [(1100, False), (390, False), (320, True)])
def test_a_browser_shows_the_page_at_any_width_without_a_warning_or_a_request(shown, tmp_path, width, dark):
    page, address = shown
    page.open(address, width, dark=dark)
    assert page.value("document.documentElement.scrollWidth") <= width, "the page is wider than the window"
    broken = "[...document.images].filter(image => !image.naturalWidth).length"
    assert page.value("document.images.length") > 8 and page.value(broken) == 0
    bars = (
        "[...document.querySelectorAll('.bar, .card, .lane i, svg circle')].every(item => item.getBoundingClientRect().width > 0)"
    )
    assert page.value(bars)
    styles = "[...document.querySelectorAll('.key i')].map(item => getComputedStyle(item).backgroundColor)"
    assert len(set(page.value(styles))) == 5, "each thing in the key has a colour of its own"
    # the smallest text that a reader meets, in pixels
    assert (
        page.value(
            "Math.min(...[...document.querySelectorAll('p, dd, small, td')].map(e => parseFloat(getComputedStyle(e).fontSize)))"
        )
        >= 14
    )
    assert page.complaints == []
    assert {request for request in page.requests if not request.startswith("data:")} == {address}
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
