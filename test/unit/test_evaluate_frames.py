# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command evaluate-frames, on a small synthetic folder."""

from __future__ import annotations

import json

import numpy as np
from real_frames_folder import box, write_frame

from mmllm_ros.cli import main
from mmllm_ros.encoders.familiarity import Familiarity
from mmllm_ros.encoders.objects import REVISION, TOKEN_WIDTH


def test_labelled_boxes_are_evaluated_as_objects_and_written_as_json(tmp_path, capsys, monkeypatch):
    # With so near a border every reading is unlike training. Statistics: mean and spread of each number of a token.
    strange = Familiarity(np.zeros(2 * TOKEN_WIDTH), np.eye(2 * TOKEN_WIDTH), 1e-6)
    monkeypatch.setattr("mmllm_ros.encoders.familiarity.load_familiarity", lambda folder: {REVISION: strange})
    for index in range(5):
        boxes = [box("car", 12.0 + 2 * index, 2.0), box("pedestrian", 9.0, -2.0 - 0.1 * index)]
        write_frame(tmp_path / "frames", "street", str(index), boxes)
    report = tmp_path / "report.json"
    command = ["evaluate-frames", str(tmp_path / "frames"), "--labels", "--calibrate", "--model", "drive_tiny"]
    assert main([*command, "--json", str(report)]) == 0
    content = json.loads(report.read_text())
    held_out = content["calibration"]
    assert held_out["frames"] == 5 and held_out["shipped"]["right"] == held_out["calibrated"]["right"]
    assert held_out["unlike"] == 5 and held_out["softened"]["right"] == held_out["shipped"]["right"]
    assert held_out["softened"]["ece"] != held_out["shipped"]["ece"]
    assert len(held_out["fits"]) == 2 and all(0.2 < fit["temperature"] < 5.0 for fit in held_out["fits"])
    assert set(content["sets"]) == {"none", "objects"} and content["sets"]["objects"]["contexts"].keys() == {"street"}
    assert "real frames" in capsys.readouterr().out


def test_labels_with_a_detector_are_refused(tmp_path, capsys):
    assert main(["evaluate-frames", str(tmp_path), "--labels", "--detector", "nanodet"]) == 2
    assert "leave out --detector" in capsys.readouterr().err


def test_a_missing_detector_is_refused_with_the_cure(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["evaluate-frames", str(tmp_path), "--detector", "nanodet"]) == 2
    assert "mmllm fetch nanodet" in capsys.readouterr().err


def test_the_lidar_alone_is_evaluated_through_clusters(tmp_path, capsys):
    for index in range(2):
        write_frame(tmp_path / "frames", "street", str(index), [box("car", 12.0 + 2 * index, 2.0)])
    report = tmp_path / "report.json"
    assert main(["evaluate-frames", str(tmp_path / "frames"), "--lidar", "clusters", "--json", str(report)]) == 0
    content = json.loads(report.read_text())
    assert set(content["sets"]) == {"none", "lidar"} and content["model"] == "drive_tiny"


def test_an_unknown_lidar_encoder_is_refused(tmp_path, capsys):
    assert main(["evaluate-frames", str(tmp_path), "--lidar", "boxes"]) == 2
    assert "neither clusters nor own" in capsys.readouterr().err
