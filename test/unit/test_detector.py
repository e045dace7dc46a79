# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Object detectors as camera encoders: tiles, duplicates, riders, ranges, output layouts, and models by folder."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from real_frames_folder import box, write_frame
from recorded_moment import answers_about_one_moment

from mmllm_ros.datasets.real_frames import box_in_image, read_frame
from mmllm_ros.datatypes import BadInput, CameraFrame
from mmllm_ros.encoders import load_encoder
from mmllm_ros.encoders.box_colours import box_colours
from mmllm_ros.encoders.box_ranges import box_range, project_sweep
from mmllm_ros.encoders.boxes import Boxes, joined, suppressed, tiles
from mmllm_ros.encoders.coco import COCO, class_table
from mmllm_ros.encoders.detector import DetectorCamera
from mmllm_ros.encoders.detector_models import detr, nanodet, yolo
from mmllm_ros.encoders.objects import CATEGORIES, TOKEN_WIDTH
from mmllm_ros.encoders.proposals import COLOURS
from mmllm_ros.evaluation.real_calibration import _judged_boxes
from mmllm_ros.io.pinhole import Pinhole
from mmllm_ros.rig import CameraMount, Rig

MOUNT = CameraMount("front", "camera/front/image_raw", 0.0, math.radians(90.0), (1.0, 0.0, 1.5))
RIG = Rig("one", (MOUNT,))
CAMERA = Pinhole.of_mount(MOUNT, 800, 400)
CAR = np.eye(len(CATEGORIES))[CATEGORIES.index("car")]


class FakeDetector:
    """Gives the same boxes for every image, COCO's classes."""

    names = COCO

    def __init__(self, *boxes: tuple[str, float, tuple[float, float, float, float]]) -> None:
        self.boxes = boxes

    def __call__(self, images):
        corners = np.array([box for _, _, box in self.boxes], dtype=float).reshape(-1, 4)
        scores = np.zeros((len(self.boxes), len(COCO)))
        for row, (name, score, _) in enumerate(self.boxes):
            scores[row, COCO.index(name)] = score
        return [(corners, scores) for _ in images]


def encoder(*boxes) -> DetectorCamera:
    made = DetectorCamera(RIG, "fake.onnx", least=0.1)
    made.use(FakeDetector(*boxes))
    return made


def test_a_pinhole_projects_what_its_rays_hit():
    points = np.array([[11.0, 2.0, 0.5], [30.0, -5.0, 1.5]])
    pixels, depths = CAMERA.project(points)
    rays = CAMERA.rays(pixels)
    there = points - CAMERA.position
    np.testing.assert_allclose(rays, there / np.linalg.norm(there, axis=1, keepdims=True), atol=1e-9)
    # 10 m ahead with f = 400: 2 m to the left are 80 pixels left of the middle.
    assert pixels[0] == pytest.approx([400 - 80, 200 + 40]) and depths[0] == pytest.approx(10.0)


def test_a_mount_that_looks_down_and_left_sees_the_horizon_above_and_the_front_at_the_right():
    mount = CameraMount("left", "t", math.radians(30.0), math.radians(90.0), (0.0, 0.0, 1.5), math.radians(10.0))
    pixels, _ = Pinhole.of_mount(mount, 800, 400).project(np.array([[1000.0, 0.0, 1.5]]))
    assert pixels[0, 0] > 600 and pixels[0, 1] < 200


def test_wide_images_are_cut_into_overlapping_squares_and_others_are_not():
    assert tiles(500, 400) == [(0, 0, 500, 400)]
    cut = tiles(1242, 375)
    assert cut[0][0] == 0 and cut[-1][0] + 375 == 1242 and all(b[0] - a[0] <= 375 * 5 / 6 for a, b in itertools.pairwise(cut))


def test_a_box_cut_by_a_tile_goes_where_a_whole_one_shows_the_object():
    places = tiles(700, 400)
    assert [place[0] for place in places] == [0, 300]
    left = (places[0], np.array([[310.0, 100, 400, 200]]), CAR[None] * 0.9)
    right = (places[1], np.array([[10.0, 100, 180, 200]]), CAR[None] * 0.6)
    boxes = suppressed(joined([left, right], 700))
    assert len(boxes) == 1 and boxes.corners[0, 2] == pytest.approx(480)


def test_duplicates_go_and_neighbours_stay():
    corners = np.array([[0.0, 0, 100, 100], [5, 5, 100, 100], [60, 0, 160, 100]])
    boxes = suppressed(Boxes(corners, np.stack([CAR * 0.9, CAR * 0.8, CAR * 0.7]), np.zeros(3, bool)))
    assert boxes.scores.max(1) == pytest.approx([0.9, 0.7])


def test_lidar_points_in_the_box_give_the_range():
    wall = np.array([[40.0, y, z] for y in np.linspace(-6, 6, 60) for z in np.linspace(0.3, 3, 10)])
    car = np.array([[14.0, y, z] for y in np.linspace(-0.8, 0.8, 15) for z in np.linspace(0.4, 1.4, 6)])
    sweep = project_sweep(np.concatenate([wall, car]), CAMERA)
    bearing, _, distance, spread = box_range(np.array([370.0, 198, 430, 246]), CAR, CAMERA, sweep)
    assert distance == pytest.approx(15.2, abs=0.4) and bearing == pytest.approx(0.0, abs=0.01) and spread < 0.1


def test_without_points_ground_contact_and_size_give_the_range_and_less_certainly():
    # A car of 1.55 m whose rear is 20 m ahead of the camera: 31 pixels high, its lower edge 30 pixels under the horizon.
    _, _, distance, spread = box_range(np.array([380.0, 199, 420, 230]), CAR, CAMERA, None)
    assert distance == pytest.approx(21.3, abs=1.5) and 0.05 < spread < 0.3


def test_the_colour_is_that_of_the_middle_of_the_box():
    image = np.full((100, 100, 3), 120, np.uint8)
    image[30:80, 20:80] = (180, 20, 20)
    shares = box_colours(image, np.array([0.0, 0, 100, 100]))
    assert COLOURS[shares.argmax()] == "red" and shares.sum() == pytest.approx(1.0)
    assert box_colours(image, np.array([0.0, 0, 6, 6])) is None


def test_the_lidar_gives_ranges_where_a_sweep_is_near_in_time():
    made = encoder(("car", 0.9, (235, 190, 265, 215)))  # by its size 15 m away
    wall = np.stack([np.full(200, 30.0), np.linspace(-1, 1, 200), np.full(200, 1.4)], 1)
    frame = CameraFrame(7, "front", np.zeros((400, 500, 3), np.uint8))
    alone, _ = made.encode([(frame, None), (frame, None)])
    made.sweep_at = {7: wall}.get
    (ranged,) = made.encode([(frame, None)])
    assert ranged.places[0, 2] == pytest.approx(30.0 + 2.2, abs=1.5) and alone.places[0, 2] < 27.0


def test_a_box_is_right_where_it_overlaps_a_label_of_its_class(tmp_path):
    write_frame(tmp_path, "street", "0", [box("car", 12.0, 0.0), box("pedestrian", 9.0, 3.0)])
    frame = read_frame(tmp_path, tmp_path / "street" / "0.json")
    (image,) = [item for item in frame.frames if isinstance(item, CameraFrame)]
    camera = frame.cameras[image.source]
    car, person = (box_in_image(item.position, item.size, item.yaw, camera) for item in frame.truth.objects)
    found, kinds = encoder(), ("car", "truck", "car")  # where the car is, where the pedestrian is, and where nothing is
    corners = np.array([car, person, np.array(person) + 60.0])
    scores = np.array([[0.9 if name == kind else 0.0 for name in CATEGORIES] for kind in kinds])
    found.boxes = lambda image: Boxes(corners, scores, np.zeros(3, bool))
    assert [right for _, right in _judged_boxes(found, frame, image)] == [True, False, False]


def test_a_person_on_a_bicycle_is_a_bicycle_with_a_rider():
    ridden = encoder(("bicycle", 0.8, (100, 150, 200, 300)), ("person", 0.9, (120, 60, 180, 250)))
    (found,) = ridden.detect(np.zeros((400, 500, 3), np.uint8), CAMERA)
    assert CATEGORIES[found.classes.argmax()] == "bicycle" and found.statuses[3] > 0.8
    apart = encoder(("bicycle", 0.8, (100, 150, 200, 300)), ("person", 0.9, (320, 60, 380, 250)))
    assert len(apart.detect(np.zeros((400, 500, 3), np.uint8), CAMERA)) == 2


def test_its_boxes_become_tokens_of_modality_camera():
    made = encoder(("car", 0.9, (380, 199, 420, 230)), ("banana", 0.9, (0, 0, 50, 50)))
    (tokens,) = made.encode([(CameraFrame(7, "front", np.zeros((400, 500, 3), np.uint8)), None)])
    assert (tokens.modality, tokens.source, tokens.stamp) == ("camera", "front", 7) and tokens.values.shape[1] == TOKEN_WIDTH
    assert (tokens.values[:16, 1] > 0.05).sum() in (1, 3), "a banana is no object that is asked about"


def test_the_layouts_of_onnx_files_are_read_as_stated():
    scores, logits = np.full((4, 2), 0.1), np.full((4, 4 * 8), -9.0)
    scores[3, 1] = 0.8
    logits[:, [1, 9, 17, 25]] = 9.0
    # Four cells of stride 16 in 32 x 32: the last has its middle at (24, 24), and a distance of one stride to every side.
    corners, read = nanodet([logits, scores], (32, 32))
    assert corners[3] == pytest.approx([8, 8, 40, 40], abs=0.1) and read[3, 1] == 0.8
    table = np.array([[16.0, 10, 8, 4, 0.2, 0.7]] * 9)
    assert yolo([table.T], (32, 32))[0][0] == pytest.approx([12, 8, 20, 12]) and yolo([table], (32, 32))[1].shape == (9, 2)
    corners, read = detr([np.zeros((5, 80)), np.array([[0.5, 0.5, 0.5, 0.5]] * 5)], (100, 200))
    assert corners[0] == pytest.approx([50, 25, 150, 75]) and read[0, 0] == 0.5


def test_classes_without_a_meaning_are_refused():
    with pytest.raises(BadInput, match="has a meaning"):
        class_table(["cat", "dog"])
    with pytest.raises(BadInput, match="'tank', which is not one of"):
        class_table(["cat"], {"cat": {"tank": 1.0}})


def test_a_hugging_face_detector_in_a_folder_is_loaded_and_read(tmp_path):
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    names = {0: "car", 1: "person"}
    config = YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[32, 48], patch_size=16,
        num_detection_tokens=5, id2label=names, label2id={name: index for index, name in names.items()},
    )  # fmt: skip
    YolosForObjectDetection(config).save_pretrained(tmp_path / "yolos")
    YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 48}).save_pretrained(tmp_path / "yolos")
    (tmp_path / "config.json").write_text(json.dumps({"modality": "camera", "kind": "detector", "name": "yolos", "least": 0.0}))
    made = load_encoder(tmp_path, RIG, "cpu")
    assert made.detector.names == ("car", "person")
    (tokens,) = made.encode([(CameraFrame(0, "front", np.zeros((64, 64, 3), np.uint8)), None)])
    assert np.isfinite(tokens.values).all() and len(made.revision) == 12
    # The same folder as the detector of a rig, for a recording without ROS.
    assert '"modality": "camera"' in answers_about_one_moment(tmp_path, f"detector: {tmp_path}", "Are there any cars?")


def test_a_detector_that_is_not_there_is_refused_in_one_line(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps({"modality": "camera", "kind": "detector", "name": "none.onnx", "layout": "nanodet"})
    )
    with pytest.raises(BadInput, match=r"none\.onnx"):
        load_encoder(tmp_path, RIG, "cpu")


@pytest.mark.slow
def test_nanodet_as_fetched_runs_and_finds_nothing_in_an_even_image():
    from mmllm_ros.encoders.nanodet import nanodet_folder

    pytest.importorskip("onnxruntime")
    if not (nanodet_folder() / "model.onnx").is_file():
        pytest.skip("NanoDet is not fetched: `mmllm fetch nanodet`")
    made = load_encoder(nanodet_folder(), RIG, "cpu")
    assert made.detect(np.full((400, 900, 3), 128, np.uint8), CAMERA) == []
