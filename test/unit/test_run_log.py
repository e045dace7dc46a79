# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The log of a run, and its pictures."""

from __future__ import annotations

import dataclasses
import io
import json

import cv2
import numpy as np
import pytest
from rich.console import Console

from mmllm_ros.datatypes import Answer, BadInput, Evidence
from mmllm_ros.visualization.drawing import CARD, AnswerSnapshot, draw_card, draw_from_above
from mmllm_ros.visualization.run_log import PICTURED, RunLog

ANSWER = Answer(
    5, "q", "Are there any cars?", "yes", 0.83, (Evidence("camera", "front", 5, 0.21),), {"lidar": "never seen"}, 0.1, "m", "r"
)


def snapshot(truth: str = "yes", **changes) -> AnswerSnapshot:
    image = np.full((80, 160, 3), (10, 200, 30), np.uint8)
    return AnswerSnapshot(**{"images": {"front": image}, "points": None, "answer": ANSWER, "truth": truth, **changes})


def test_every_answer_is_one_line_of_json_and_one_line_on_the_console(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    run_log = RunLog(tmp_path / "out", console)
    run_log.add(snapshot("yes"), 1.0)
    run_log.add(snapshot("no"), 2.0)
    run_log.add(snapshot(""), 3.0)
    assert run_log.summary() == "3 answers, 1 of 2 right"
    lines = [json.loads(line) for line in (tmp_path / "out" / "drive.jsonl").read_text().splitlines()]
    assert [line["truth"] for line in lines] == ["yes", "no", None]
    assert lines[0] == {
        "time": 1.0, "context": "",
        "question": "Are there any cars?", "answer": "yes", "truth": "yes", "confidence": 0.83, "latency": 0.1,
        "evidence": [{"modality": "camera", "source": "front", "stamp": 5, "age": 0.21}],
        "unplugged": [{"modality": "lidar", "reason": "never seen"}], "model": "m", "revision": "r",
    }  # fmt: skip
    run_log.close()
    run_log.close()
    printed = console.file.getvalue()
    assert "camera front 0.21 s" in printed and "wrong, the truth is no" in printed and "without lidar: never seen" in printed
    assert cv2.imread(str(tmp_path / "out" / "drive.png")).shape[2] == 3


def test_a_long_drive_keeps_few_snapshots_spread_over_it(tmp_path):
    run_log = RunLog(tmp_path, Console(file=io.StringIO()))
    for second in range(1000):
        run_log.add(snapshot(context=str(second)), float(second))
    kept = [int(item.context) for _, item in run_log._snapshots]
    assert PICTURED <= len(kept) <= 2 * PICTURED
    gaps = np.diff(kept)
    assert kept[0] == 0 and kept[-1] > 800 and gaps.min() == gaps.max()
    run_log.close()


def test_pictures_are_kept_of_the_most_confident_mistakes_and_of_answers_spread_over_the_drive(tmp_path):
    (tmp_path / "moments").mkdir()
    (tmp_path / "moments" / "4711.camera.jpg").write_bytes(b"of an earlier drive")
    run_log = RunLog(tmp_path, Console(file=io.StringIO()))
    for line in range(1, 41):  # every second answer is wrong, with rising confidence
        answer = dataclasses.replace(ANSWER, confidence=line / 50)
        run_log.add(snapshot("no" if line % 2 else "yes", answer=answer, points=np.zeros((9, 4), np.float32)), float(line))
    run_log.close()
    kept = {int(path.name.split(".")[0]) for path in (tmp_path / "moments").iterdir()}
    # 1, 5, 9 ... are held after the drive was thinned out twice, six of them drawn
    mistakes, spread = {29, 31, 33, 35, 37, 39}, {1, 9, 17, 21, 29, 37}
    assert kept == mistakes | spread
    assert cv2.imread(str(tmp_path / "moments" / "39.camera.jpg")).shape == (320, 640, 3)
    assert cv2.imread(str(tmp_path / "moments" / "39.lidar.jpg")).shape == (320, 320, 3)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="file"):
        RunLog(tmp_path / "file" / "out")


def test_right_is_green_and_wrong_is_red():
    # Below the pictures; ink and paper are grey, so the strongest colour is that of the answer.
    def strongest_channel(truth: str) -> int:
        text = draw_card(snapshot(truth))[240:].reshape(-1, 3).astype(int)
        return int(np.argmax(text[np.argmax(np.ptp(text, axis=1))]))

    assert (strongest_channel("no"), strongest_channel("yes")) == (0, 1)


@pytest.mark.parametrize("cameras", [0, 1, 2, 6])
@pytest.mark.parametrize("question", ["Short?", "word " * 200, "x" * 2000, "Gibt es Fußgänger? 行人"])
def test_any_number_of_cameras_and_any_text_fit_the_card(cameras, question):
    images = {str(number): np.zeros((60 + number, 100, 3), np.uint8) for number in range(cameras)}
    answer = Answer(0, "", question, question, 0.5, ANSWER.evidence * 9, {str(n): "no " * 99 for n in range(9)}, 0, "", "")
    assert draw_card(snapshot(images=images, answer=answer)).shape == (*CARD, 3)


def test_from_above_forward_is_up_and_left_is_left():
    # 20 m ahead and 10 m to the left, 1 m over the sensor; 240 pixels show 80 m, so 3 pixels a metre from the middle.
    picture = draw_from_above(np.array([[20.0, 10.0, 1.0, 0.5]], np.float32), 240)
    bare = draw_from_above(np.zeros((0, 4), np.float32), 240)
    rows, columns = np.nonzero((picture != bare).any(axis=2))
    assert set(rows) <= {60, 61} and set(columns) <= {90, 91} and len(rows) == 4


def test_the_summary_says_what_guessing_would_score(tmp_path):
    run_log = RunLog(tmp_path, Console(file=io.StringIO()))
    for truth in ("yes", "no"):
        run_log.add(snapshot(truth), 1.0, guess=0.5)
    assert run_log.summary() == "2 answers, 1 of 2 right (about 1 by guessing without sensors)"
    run_log.close()
