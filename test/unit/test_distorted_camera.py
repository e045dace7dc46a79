# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras whose lens bends straight lines: rays and pixels against OpenCV's models, and calibrations from CameraInfo."""

from __future__ import annotations

import math
from types import SimpleNamespace as Fields

import cv2
import numpy as np
import pytest

from mmllm_ros.datatypes import BadInput
from mmllm_ros.encoders.box_ranges import box_range
from mmllm_ros.encoders.objects import CATEGORIES, distribution
from mmllm_ros.io.camera_info import calibration_from_info, info_topic, is_rectified
from mmllm_ros.io.distorted_camera import mounted_camera
from mmllm_ros.rig import Calibration, CameraMount

PLUMB_BOB = ("plumb_bob", (-0.30, 0.12, 0.001, -0.0005, -0.02))
RATIONAL = ("rational_polynomial", (0.5, -0.2, 0.0003, 0.0001, 0.01, 0.8, -0.1, 0.02))
FISHEYE = ("equidistant", (0.03, -0.01, 0.004, -0.001))


def camera(lens=PLUMB_BOB, size=(1280, 720)):
    known = Calibration((1280, 720), (700.0, 690.0), (640.0, 350.0), *lens)
    mount = CameraMount("left", "left", math.radians(90.0), math.radians(84.0), (0.0, 0.5, 1.2), 0.0, known)
    return mounted_camera(mount, *size)


@pytest.mark.parametrize("lens", [PLUMB_BOB, RATIONAL, FISHEYE])
def test_rays_point_at_what_opencv_projects_to_their_pixels(lens):
    seen = np.random.default_rng(0).uniform([-0.6, -0.3, 1.0], [0.6, 0.3, 1.0], (50, 3))  # optical axes
    matrix, bent = np.array([[700.0, 0, 640], [0, 690.0, 350], [0, 0, 1]]), np.array(lens[1])
    project = cv2.fisheye.projectPoints if lens == FISHEYE else cv2.projectPoints
    pixels = project(seen[:, None], np.zeros(3), np.zeros(3), matrix, bent)[0].reshape(-1, 2)
    # The camera looks to the left, +y: its right is +x, its down is -z.
    expected = np.stack([seen[:, 0], seen[:, 2], -seen[:, 1]], 1) / np.linalg.norm(seen, axis=1, keepdims=True)
    assert camera(lens).rays(pixels) == pytest.approx(expected, abs=1e-5)
    points = camera(lens).position + 10 * expected
    assert camera(lens).project(points)[0] == pytest.approx(pixels, abs=1e-3)


def test_a_fisheye_sees_beside_and_behind_its_image_plane():
    known = Calibration((1000, 1000), (280.0, 280.0), (500.0, 500.0), "equidistant", (0.0, 0.0, 0.0, 0.0))
    wide = mounted_camera(CameraMount("front", "front", 0.0, 3.0, calibration=known), 1000, 1000)
    angle = math.radians(100.0)
    (ray,) = wide.rays(np.array([[500.0 + 280.0 * angle, 500.0]]))  # r = f theta, to the right: -y
    assert ray == pytest.approx([math.cos(angle), -math.sin(angle), 0.0], abs=1e-9)
    pixels, depth = wide.project(wide.position + 5 * ray[None])
    assert pixels[0] == pytest.approx([500.0 + 280.0 * angle, 500.0]) and wide.inside(pixels, depth).all()


def test_a_point_where_the_polynomial_folds_back_is_not_in_the_image():
    # x (1 - 0.3 x^2) has its maximum at x = 1.05; at 1.6 it is 0.37 again, inside the image.
    folding = camera(("plumb_bob", (-0.3, 0.0, 0.0, 0.0)))
    pixels, depth = folding.project(folding.position + np.array([[16.0, 10.0, 0.0], [3.0, 10.0, 0.0]]))
    assert folding.inside(pixels, depth).tolist() == [False, True]


def test_a_smaller_image_of_a_calibrated_camera_has_the_same_rays():
    corners = np.array([[100.0, 200.0], [1200.0, 700.0]])
    assert camera(size=(640, 360)).rays(corners / 2) == pytest.approx(camera().rays(corners), abs=1e-9)


def test_the_size_of_a_box_in_a_bent_image_gives_its_range():
    lens = camera(PLUMB_BOB)
    heights = np.array([[0.0, 20.5, 1.9], [0.0, 20.5, 0.2]])  # a pedestrian of 1.7 m, 20 m ahead of the camera
    (top, bottom), _ = lens.project(heights)
    corners = np.array([top[0] - 15, top[1], top[0] + 15, bottom[1]])
    _, _, distance, _ = box_range(corners, distribution(CATEGORIES, {"pedestrian": 1.0}), lens, None)
    assert distance == pytest.approx(20.5, rel=0.12)


def info(**changes):
    fields = {
        "width": 640,
        "height": 480,
        "distortion_model": "plumb_bob",
        "d": [0.1, 0, 0, 0, 0],
        "binning_x": 0,
        "binning_y": 0,
    }
    fields |= {"k": [500.0, 0, 320, 0, 510.0, 240, 0, 0, 1], "p": [450.0, 0, 310, 0, 0, 460.0, 230, 0, 0, 0, 1, 0]}
    roi = Fields(x_offset=0, y_offset=0, width=0, height=0)
    return Fields(header=Fields(frame_id="left_optical"), roi=roi, **{**fields, **changes})


def test_camera_info_gives_the_calibration_of_raw_and_of_rectified_images():
    assert calibration_from_info(info()) == Calibration(
        (640, 480), (500.0, 510.0), (320.0, 240.0), "plumb_bob", (0.1, 0, 0, 0, 0)
    )
    assert calibration_from_info(info(), True) == Calibration((640, 480), (450.0, 460.0), (310.0, 230.0))
    assert calibration_from_info(info(binning_x=2, binning_y=2)).focal == (250.0, 255.0)
    assert calibration_from_info(info(d=[0.0] * 4, distortion_model="fisheye")).lens == "equidistant"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"k": [0.0] * 9}, "'left_optical' is not calibrated"),
        ({"distortion_model": "kannala"}, "distortion model 'kannala'"),
        ({"d": [0.1, 0.2]}, "2 coefficients for plumb_bob"),
        ({"d": [math.nan, 0, 0, 0, 0]}, "finite"),
    ],
)
def test_a_camera_info_that_says_nothing_is_refused(change, named):
    with pytest.raises(BadInput, match=named):
        calibration_from_info(info(**change))


def test_the_names_of_topics_tell_the_camera_info_and_whether_images_are_rectified():
    assert (
        info_topic("/zed/left/image_rect_color/compressed") == "/zed/left/camera_info"
        and info_topic("image") == "image/camera_info"
    )
    assert is_rectified("/zed/left/image_rect_color/compressed") and not is_rectified("/rect_robot/image_raw")
