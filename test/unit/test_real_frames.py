# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled real frames: what is read, what is visible, and what may be asked."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from real_frames_folder import box, write_frame

from mmllm_ros.datasets.real_frames import box_in_image, frame_files, read_frame
from mmllm_ros.datasets.real_questions import ask_frame
from mmllm_ros.datatypes import BadInput, LidarScan
from mmllm_ros.evaluation.real_evaluation import blind_guesses, frame_tokens, labelled_detections

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "real_frames"
STREET = [box("car", 12.0, 2.0), box("car", 20.0, -3.0), box("pedestrian", 9.0, -2.0)]


def read(tmp_path, boxes=STREET, **more):
    return read_frame(tmp_path, write_frame(tmp_path, "street", "1", boxes, **more))


def test_a_frame_has_its_sensors_its_mounts_and_its_boxes(tmp_path):
    frame = read(tmp_path)
    assert frame_files(tmp_path)[0].stem == "1" and frame.source == "street"
    (mount,) = frame.rig.cameras
    assert mount.pitch == pytest.approx(-math.radians(2.0)), "the file counts pitch upwards, the rig downwards"
    assert [item.category for item in frame.truth.objects] == ["car", "car", "pedestrian"]
    sweep = next(item for item in frame.frames if isinstance(item, LidarScan))
    assert sweep.points[:, 3].max() <= 1.0 and sweep.points[:, 2].min() == pytest.approx(-1.8), "seen from the lidar"


def test_points_and_boxes_outside_the_labelled_region_are_left_out(tmp_path):
    frame = read(tmp_path, [*STREET, box("car", 2.0, 15.0)])
    assert len(frame.truth.objects) == 3
    sweep = next(item for item in frame.frames if isinstance(item, LidarScan)).points
    x, y = sweep[:, 0] - 1.0, sweep[:, 1]
    assert (np.abs(np.degrees(np.arctan2(y, x))) <= 38.6).all()


def test_a_box_lies_in_the_image_where_the_calibration_says(tmp_path):
    frame = read(tmp_path)
    left, top, right, bottom = box_in_image((21.0, 0.0, 0.75), (0.0, 2.0, 1.5), 0.0, frame.cameras["front"])
    # 2 m at 20 m of depth with f = 400 are 40 pixels; the camera is as high as the box, so its top is on the horizon.
    assert (left, right) == pytest.approx((300, 340)) and (top, bottom) == pytest.approx((120, 150))


def test_what_no_beam_reaches_is_not_seen_by_a_camera_either(tmp_path):
    frame = read(tmp_path, [box("car", 12.0, 0.0, points=0)])
    assert frame.truth.objects[0].pixels == {"front": 0} and labelled_detections(frame) == []


def test_only_what_the_labels_can_answer_is_asked(tmp_path):
    questions = ask_frame(read(tmp_path), 40)
    assert len(questions) > 15
    assert {q.template_type for q in questions} <= {"exist", "count", "object", "distance"}
    programs = " ".join(q.program for q in questions)
    assert "status(" not in programs and "colour(" not in programs
    for where in ("front left", "front right", "back", "back left", "back right"):
        assert f"toward({where}, me())" not in programs, "only the front is labelled wholly"
    cars = [q.answer for q in questions if q.program == "count(pick(any, car))"]
    assert set(cars) <= {"2"}


def test_statuses_are_asked_where_every_object_has_one(tmp_path):
    known = read(tmp_path, [box("car", 12.0, 2.0, "parked"), box("pedestrian", 9.0, -2.0, "moving")])
    assert any(q.template_type == "status" for q in ask_frame(known, 40))
    unknown = read(tmp_path, [box("car", 12.0, 2.0, "parked"), box("car", 18.0, -2.0), box("pedestrian", 9.0, -2.0, "moving")])
    programs = [q.program for q in ask_frame(unknown, 60)]
    assert not [program for program in programs if "pick(parked, car" in program or "pick(moving, thing" in program]


def test_sets_that_an_object_of_unknown_class_could_belong_to_are_not_asked_about(tmp_path):
    unlabelled = {**box("", 15.0, 0.0), "class": None, "orig_class": "TYPE VEHICLE"}
    programs = [q.program for q in ask_frame(read(tmp_path, ignored_boxes=[unlabelled]), 40)]
    assert programs and not [program for program in programs if ", car" in program or ", thing" in program]
    other = {**unlabelled, "orig_class": "Misc"}
    programs = [q.program for q in ask_frame(read(tmp_path, ignored_boxes=[other]), 40)]
    assert [program for program in programs if ", car" in program] and not [p for p in programs if ", thing" in p]


def test_the_same_seed_asks_the_same(tmp_path):
    frame = read(tmp_path)
    assert ask_frame(frame, 10, 3) == ask_frame(frame, 10, 3) != ask_frame(frame, 10, 4)


def test_boxes_become_objects_tokens(tmp_path):
    (tokens,) = frame_tokens(read(tmp_path), {}, labels=True)
    assert tokens.modality == "objects" and (tokens.values[:3, 1] > 0.9).all() and (tokens.values[3:16, 1] < 0.1).all()


def test_blind_baselines_learn_from_other_frames_only(tmp_path):
    from mmllm_ros.datasets.examples import Example
    from mmllm_ros.datatypes import Question

    asked = [
        Example(f"{i}", "street", (), tuple(Question("how many cars?", "2" if i == 0 else "1", "count", 0) for _ in range(2)))
        for i in range(6)
    ]
    guesses = blind_guesses(asked)
    assert guesses["majority"] == ["1"] * 12


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"boxes": [box("spaceship", 9.0, 0.0)]}, "'spaceship', not one of the ten"),
        ({"boxes": [box("car", 9.0, 0.0, "flying")]}, "status 'flying'"),
        ({"label_region": {"type": "moon"}}, "label_region 'moon'"),
        ({"lidar": {"file": "../outside.npz"}}, "outside the folder"),
        ({"lidar": {"file": "street/none.npz"}}, "is missing"),
        ({"cameras": 3}, "is not a labelled frame"),
    ],
)
def test_a_damaged_frame_is_refused_in_one_line(tmp_path, change, complaint):
    path = write_frame(tmp_path, "street", "1", STREET)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BadInput, match=complaint) as refused:
        read_frame(tmp_path, path)
    assert "\n" not in str(refused.value)


def test_a_folder_without_frames_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no SOURCE/FRAME"):
        frame_files(tmp_path)


@pytest.mark.slow
def test_every_real_frame_can_be_read_and_asked_about():
    if not REAL.is_dir():
        pytest.skip(f"no labelled real frames in {REAL}")
    frames = [read_frame(REAL, path) for path in frame_files(REAL)]
    assert len(frames) == 43 and all(ask_frame(frame, 4) for frame in frames)
