# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings with boxes: answers from them offline, and labelled frames made of them."""

from __future__ import annotations

import json

import pytest
from recorded_boxes import SIZE, START, write_recording

from mmllm_ros.cli import main
from mmllm_ros.datasets.recorded_frames import recorded_frames
from mmllm_ros.datatypes import BadInput, LidarScan
from mmllm_ros.rig import load_rig

SCENE = [("car", (12.0, 2.0, 0.8)), ("2", (-15.0, 1.0, 0.8)), ("sofa", (9.0, -6.0, 0.8))]


def rig_file(folder, text):
    path = folder / "robot.yaml"
    path.write_text(text)
    return path


def test_offline_replay_answers_from_the_objects_of_a_recording(tmp_path, caplog):
    bag = write_recording(tmp_path / "bag", [[("truck", (2.0, 9.0, 0.8))]] * 3, frame="map")
    rig = rig_file(tmp_path, "objects: {topic: labels, frame: map, bearing: 0}\n")
    answers = tmp_path / "answers.jsonl"
    command = ["replay", str(bag), "--rig", str(rig), "--model", "drive_tiny", "--offline", "--json", str(answers)]
    assert main([*command, "--ask", "Are there any trucks?", "--ask", "Are there any cars?"]) == 0
    first, second = (json.loads(line) for line in answers.read_text().splitlines())
    assert first["answer"] == "yes" and second["answer"] == "no"
    assert [item["modality"] for item in first["evidence"]] == ["objects"]
    rig_file(tmp_path, "objects: {topic: labels}\n")
    assert main([*command, "--ask", "Are there any trucks?"]) == 0
    assert "objects are in frame 'map', and the recording has no /tf_static" in caplog.text


def test_boxes_of_a_recording_become_labelled_frames(tmp_path):
    bag = write_recording(tmp_path / "bag", [SCENE, SCENE[:1]])
    rig = rig_file(tmp_path, "lidar: {}\nobjects: {topic: /labels, classes: {'2': truck}}\n")
    first, second = recorded_frames(bag, load_rig(rig), "labels")
    assert [item.category for item in first.truth.objects] == ["car", "truck"] and len(first.unknown) == 1
    car = first.truth.objects[0]
    assert car.position == pytest.approx((12.0, 2.0, 0.8)) and car.size == SIZE and 25 <= car.returns <= 30
    (sweep,) = first.frames
    assert isinstance(sweep, LidarScan) and sweep.stamp == START == first.truth.stamp and first.region.holds(-5.0, 1.0)
    assert [item.category for item in second.truth.objects] == ["car"]
    with pytest.raises(BadInput, match="has no topic /tracks"):
        next(recorded_frames(bag, load_rig(rig), "tracks"))


def test_a_model_is_judged_on_the_boxes_of_a_recording(tmp_path, capsys):
    moments = [[("car", (8.0 + 2 * i, 2.0, 0.8)), ("truck", (-9.0, 3.0 - i, 0.8))] for i in range(5)]
    bag, report = write_recording(tmp_path / "bag", moments), tmp_path / "report.json"
    rig = rig_file(tmp_path, "lidar: {}\n")
    command = ["evaluate-frames", str(bag), "--model", "drive_tiny", "--rig", str(rig), "--labels"]
    assert main([*command, "--boxes", "/labels", "--json", str(report)]) == 0
    content = json.loads(report.read_text())
    assert content["scenes"] == 5 and content["sets"]["objects"]["contexts"].keys() == {"bag"}
    assert main(command) == 2
    assert "name the topic of its labelled boxes with --boxes" in capsys.readouterr().err
