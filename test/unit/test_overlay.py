# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The overlay picture, sensor states, text drawing and coloured points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmllm_ros.datatypes import NANOSECONDS, Answer, Evidence, Health, Plan
from mmllm_ros.io.frames import points_in_base
from mmllm_ros.rig import CameraMount, LidarMount, Rig, load_rig, shipped_rigs
from mmllm_ros.visualization.canvas import fitted, text_width, wrapped, write
from mmllm_ros.visualization.drawing import evidence_text
from mmllm_ros.visualization.overlay import SIZE, View, draw_overlay, heading_path
from mmllm_ros.visualization.point_colours import colour_points
from mmllm_ros.visualization.sensor_state import HealthHistory, State, motion_text, state_of

PLAN = Plan(5, {"camera": True, "lidar": False}, {"camera": "healthy", "lidar": "hardly any returns"}, "night", 0, 0.1, 0.2)
ANSWER = Answer(5, "q", "Any cars?", "yes", 0.83, (Evidence("camera", "front", 5, 0.21),), {"lidar": "out"}, 0.1, "m", "r")


def health(modality: str = "camera", source: str = "front", rate: float = 10.0, reason: str = "", **signals: float) -> Health:
    return Health(modality, source, 5, rate, 0.1, 0.0, 0, signals, not reason, reason)


@pytest.mark.parametrize(
    ("report", "plan", "state"),
    [
        (None, PLAN, State.SILENT),
        (health(rate=0.0), PLAN, State.SILENT),
        (health(reason="black picture"), PLAN, State.FAULTY),
        (health(), PLAN, State.PLUGGED),
        (health("lidar", "lidar"), PLAN, State.UNPLUGGED),
        (health(), None, State.UNPLUGGED),
    ],
)
def test_a_sensor_is_in_one_of_four_states(report, plan, state):
    assert state_of(report, plan) is state


def test_the_four_states_differ_in_brightness_or_hue_for_everyone():
    colours = np.array([state.value for state in State], float)
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2)
    assert distances[~np.eye(4, dtype=bool)].min() > 100


@pytest.mark.parametrize(
    ("signals", "text"),
    [
        ({}, "motion unknown"),
        ({"vibration": 0.01, "turn_rate": 0.0}, "standing"),
        ({"vibration": 0.5, "turn_rate": 0.0}, "moving straight on"),
        ({"vibration": 0.5, "turn_rate": math.radians(20)}, "moving, turning left 20 deg/s"),
        ({"vibration": 0.5, "turn_rate": -math.radians(20)}, "moving, turning right 20 deg/s"),
    ],
)
def test_the_motion_text_follows_the_imu(signals, text):
    assert motion_text({("imu", "imu"): health("imu", "imu", **signals)}) == text


def test_the_path_bends_to_the_side_of_the_turn():
    assert heading_path(0.3)[-1, 1] > 0.5 > -0.5 > heading_path(-0.3)[-1, 1]
    assert abs(heading_path(0.0)[-1, 1]) < 1e-9 and heading_path(0.0)[-1, 0] > 5.0


def test_the_health_history_keeps_half_a_minute_and_can_be_cleared():
    history = HealthHistory()
    for second in range(200):
        history.add(health(rate=float(second)), PLAN)
    assert len(history.entries["camera", "front"]) == HealthHistory.LENGTH and history.entries["camera", "front"][-1] == (
        State.PLUGGED,
        199.0,
    )
    history.clear()
    assert not history.entries and not history.healths


@pytest.mark.parametrize("name", shipped_rigs())
@pytest.mark.parametrize("plan", [None, PLAN])
def test_any_rig_with_and_without_anything_to_show_fits_the_picture(name, plan):
    rig, history = load_rig(name), HealthHistory()
    assert draw_overlay(View(rig, NANOSECONDS, plan=plan)).shape == (*SIZE, 3)
    for number in range(30):  # more sources than there are rows
        history.add(health(source=f"camera_{number}", reason="no " * 300), plan)
    images = {mount.name: np.zeros((900 + number, 1600, 3), np.uint8) for number, mount in enumerate(rig.cameras)}
    points = np.random.default_rng(0).normal(0, 20, (5000, 4)).astype(np.float32)
    answer = Answer(5, "", "why " * 500, "because " * 500, 1.0, ANSWER.evidence * 9, {"lidar": "x"}, 0.1, "", "")
    assert draw_overlay(View(rig, NANOSECONDS, images, points, history, plan, (answer, ANSWER, answer))).shape == (*SIZE, 3)


def test_cameras_are_arranged_by_their_direction():
    rig = load_rig("nuscenes")
    history = HealthHistory()
    colours = {mount.name: (20 + 30 * number, 90, 200 - 30 * number) for number, mount in enumerate(rig.cameras)}
    images = {}
    for name, colour in colours.items():
        images[name] = np.full((90, 160, 3), colour, np.uint8)
        history.add(health(source=name), PLAN)
    picture = draw_overlay(View(rig, NANOSECONDS, images, history=history, plan=PLAN))
    centres = {name: np.argwhere((picture[:432, :864] == colour).all(axis=2)).mean(axis=0) for name, colour in colours.items()}
    for row in (("front_left", "front", "front_right"), ("back_left", "back", "back_right")):
        assert np.diff([centres[name][1] for name in row]).min() > 200
    assert min(centres["back"][0], centres["back_left"][0]) > centres["front"][0] + 100


def test_the_last_image_of_a_silent_camera_is_dimmed():
    rig, image = load_rig("front"), {"front": np.full((90, 160, 3), 240, np.uint8)}
    history = HealthHistory()
    history.add(health(rate=0.0, reason="silent for more than 1 s"), PLAN)
    assert draw_overlay(View(rig, NANOSECONDS, image, history=history, plan=PLAN))[250, 430].tolist() == [80, 80, 80]


def test_several_sources_of_a_modality_are_shown_as_a_range_of_ages():
    evidence = tuple(Evidence("camera", str(number), 5, 0.1 * number) for number in range(1, 7))
    answer = Answer(5, "", "", "", 0.5, (*evidence, Evidence("imu", "imu", 5, 0.02)), {}, 0.1, "", "")
    assert evidence_text(answer) == "6 cameras 0.10 to 0.60 s, imu 0.02 s"


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60), st.integers(-100, 400), st.integers(-50, 250), st.integers(9, 30))
def test_any_text_can_be_written_anywhere_without_leaving_the_canvas(text, x, y, size):
    canvas = np.zeros((200, 300, 3), np.uint8)
    write(canvas, text.replace("\n", " "), x, y, size, (255, 255, 255))
    assert canvas.shape == (200, 300, 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("abc ", min_size=1, max_size=30), max_size=30).map(" ".join), st.integers(60, 400), st.integers(1, 4))
def test_wrapped_text_keeps_to_its_width_and_its_lines_and_loses_words_only_at_the_end(text, width, lines):
    rows = wrapped(text, width, 14, lines)
    assert len(rows) <= lines and all(text_width(row, 14) <= width for row in rows)
    joined = " ".join(rows)
    assert "..." in joined or joined.split() == text.split()
    assert text_width(fitted(text, width, 14), 14) <= width


def test_a_point_has_the_colour_of_the_pixel_that_shows_it():
    mount = CameraMount("left", "t", bearing=math.pi / 2, fov=math.pi / 2, position=(1.0, 0.0, 1.0))
    image = np.zeros((50, 100, 3), np.uint8)
    image[:25, :50] = (200, 100, 0)  # upper left: to a camera that looks left, the rear is on its left
    # 10 m to the left, then 2 m back or 2 m ahead, 1 m higher than the camera.
    points = np.float32([[-1.0, 10.0, 2.0, 0.5], [3.0, 10.0, 2.0, 0.5], [0.0, -10.0, 2.0, 0.5]])
    assert colour_points(points, {mount: image}).tolist() == [[210, 130, 50], [50, 50, 50], [150, 150, 150]]


def test_points_move_with_the_mount_of_the_lidar():
    points = np.float32([[1.0, 2.0, 3.0, 0.5]])
    np.testing.assert_allclose(points_in_base(points, LidarMount(position=(0.5, 0.0, 1.8))), [[1.5, 2.0, 4.8, 0.5]], rtol=1e-6)


def test_a_rig_without_cameras_can_be_drawn():
    rig = Rig("bare", (), None, None)
    assert draw_overlay(View(rig, NANOSECONDS, plan=PLAN)).shape == (*SIZE, 3)
