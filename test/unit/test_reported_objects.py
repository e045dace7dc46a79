# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What other perception stacks report -> tokens. The messages are plain objects with the fields of the ROS messages."""

from __future__ import annotations

import math
from types import SimpleNamespace as Fields

import numpy as np
import pytest

from mmllm_ros.datatypes import BadInput, Tokens
from mmllm_ros.encoders.objects import CATEGORIES, LEAST_TOKENS, object_tokens
from mmllm_ros.encoders.reported_objects import ClassNames, ReportedObjectsEncoder, mounted, object_list
from mmllm_ros.io.object_messages import MARKER_SCORE, read_report
from mmllm_ros.io.pinhole import Pinhole
from mmllm_ros.model import Model
from mmllm_ros.resources import EMBEDDED, model_folder
from mmllm_ros.rig import CameraMount, ObjectsMount, Rig, load_rig
from mmllm_ros.training.untrained_modalities import of_rig

CAR, TRUCK = CATEGORIES.index("car"), CATEGORIES.index("truck")
AHEAD = Fields(x=0.0, y=0.0, z=0.0, w=1.0)


def header(frame="base_link", sec=5):
    return Fields(frame_id=frame, stamp=Fields(sec=sec, nanosec=7))


def hypotheses(**scores):
    return [Fields(hypothesis=Fields(class_id=name, score=score)) for name, score in scores.items()]


def point(x, y, z=0.0):
    return Fields(x=x, y=y, z=z)


def detections_3d(*items, **of):
    boxes = [
        Fields(results=results, bbox=Fields(center=Fields(position=place, orientation=AHEAD), size=point(4, 2, 1.5)))
        for results, place in items
    ]
    return Fields(header=header(**of), detections=boxes)


def detections_2d(*items, **of):
    boxes = [
        Fields(results=results, bbox=Fields(center=Fields(position=point(x, y)), size_x=w, size_y=h))
        for results, x, y, w, h in items
    ]
    return Fields(header=header(**of), detections=boxes)


def marker(name, place, shape=1, action=0, frame="base_link", text=""):
    pose = Fields(position=place, orientation=AHEAD)
    return Fields(header=header(frame), ns=name, text=text, type=shape, action=action, pose=pose, scale=point(4, 2, 1.5))


def located(message, transform=None, classes=(), **sensors):
    return object_list(read_report(message), "objects", ClassNames(classes), transform or mounted(ObjectsMount()), **sensors)


def test_a_detection_in_3d_has_its_place_score_and_class():
    (car,) = located(detections_3d((hypotheses(car=0.8), point(3.0, 4.0, 1.0)))).detections
    assert (car.score, car.bearing, car.distance) == pytest.approx((0.8, math.atan2(4, 3), 5.0))
    assert car.elevation == pytest.approx(math.atan2(1.0, 5.0)) and car.classes[CAR] > 0.98


def test_hypotheses_share_the_classes_and_their_scores_add_up():
    (found,) = located(detections_3d((hypotheses(car=0.6, truck=0.2), point(9.0, 0.0)))).detections
    assert found.score == pytest.approx(0.8) and found.classes[[CAR, TRUCK]] == pytest.approx([0.75, 0.25], abs=0.01)


def test_classes_are_mapped_by_the_rig_and_what_has_no_meaning_is_counted():
    message = detections_3d(
        (hypotheses(**{"2": 0.9}), point(9.0, 0.0)), (hypotheses(dog=0.9), point(9.0, 1.0)), ([], point(9.0, 2.0))
    )
    found = located(message, classes=(("2", "car"),))
    assert [item.classes.argmax() for item in found.detections] == [CAR] and found.unmapped == 2
    with pytest.raises(BadInput, match="maps '2' to 'lorry', which is not one of"):
        ClassNames((("2", "lorry"),))


def test_a_mount_turns_the_axes_of_the_stack_into_those_of_the_base():
    # A frame with x right, y down, z forward, 2 m before the base, turned to the left: 10 m ahead of it is (2, 10).
    mount = ObjectsMount(position=(2.0, 0.0, 1.0), bearing=math.pi / 2, axes=("+z", "-x", "-y"))
    (found,) = located(detections_3d((hypotheses(bus=1.0), point(0.0, 0.0, 10.0))), mounted(mount)).detections
    assert (found.bearing, found.distance) == pytest.approx((math.atan2(10, 2), math.hypot(10, 2)))


def test_boxes_in_an_image_get_bearing_and_range_from_the_camera_and_from_the_lidar():
    mount = CameraMount("front", "front", math.pi / 2, math.radians(90.0), (0.0, 0.0, 1.5))
    camera = Pinhole.of_mount(mount, 800, 400)  # focal length 400: a car of 1.6 m at 20 m is 32 pixels high
    message = detections_2d((hypotheses(car=0.7), 400.0, 214.0, 60.0, 32.0))
    (seen,) = located(message, camera=camera).detections
    assert seen.bearing == pytest.approx(math.pi / 2) and seen.distance == pytest.approx(20.0, rel=0.2) and seen.spread > 0.05
    sweep = np.tile([400.0, 214.0], (30, 1)), np.tile([0.0, 17.0, 1.0], (30, 1))
    (hit,) = located(message, camera=camera, sweep=sweep).detections
    assert 17.0 < hit.distance < 20.0 and hit.spread <= 0.1


def test_solid_markers_that_are_added_are_objects_of_their_text_or_namespace():
    shown = [marker("car", point(8, 0)), marker("tracks", point(0, 8), 3, text="PEDESTRIAN"), marker("car", point(1, 1), 9)]
    message = Fields(
        markers=[Fields(**{**marker("", point(0, 0)).__dict__, "action": 3}), *shown, marker("car", point(5, 5), action=2)]
    )
    found = located(message)
    assert [CATEGORIES[item.classes.argmax()] for item in found.detections] == ["car", "pedestrian"]
    assert found.stamp == 5 * 10**9 + 7 and found.detections[0].score == pytest.approx(MARKER_SCORE)
    assert read_report(Fields(markers=[])).stamp == 0


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (detections_3d((hypotheses(car=87.0), point(1, 1))), "detection 0 has score 87 for 'car'"),
        (detections_3d((hypotheses(car=math.nan), point(1, 1))), "score nan"),
        (detections_3d((hypotheses(car=0.5), point(math.nan, 1))), "position.x nan"),
        (detections_2d((hypotheses(car=0.5), 5, 5, 0, 5)), "a box of 0 x 5 pixels"),
        (detections_3d(*[(hypotheses(car=0.5), point(1, 1))] * 1001), "1001 detections, more than 1000"),
        (Fields(markers=[marker("car", point(1, 1)), marker("car", point(1, 1), frame="map")]), "several frames: base_link, map"),
    ],
)
def test_a_message_with_an_invalid_value_is_refused_by_name(message, named):
    with pytest.raises(BadInput, match=named):
        read_report(message)


def test_an_empty_list_is_a_reading_too_and_has_tokens():
    rig = Rig("stack", (), None, None, ObjectsMount())
    (tokens,) = ReportedObjectsEncoder(rig).encode([(located(detections_3d()), None)])
    assert tokens.modality == "objects" and (tokens.values[:LEAST_TOKENS, 1] < 0.01).all()


def test_a_perception_stack_that_is_connected_leaves_other_answers_bit_identical(tmp_path):
    model = Model.load(model_folder(EMBEDDED), "cpu")
    joined = of_rig(model, Rig("stack", (), None, None, ObjectsMount()))
    assert of_rig(model, load_rig("front")) is model and set(joined.modalities) - set(model.modalities) == {"objects"}
    rng, width = np.random.default_rng(0), model.connectors["lidar"].shape["token_width"]
    values, places = rng.normal(size=(9, width)).astype(np.float32), rng.uniform(1, 9, (9, 3)).astype(np.float32)
    lidar = Tokens("lidar", "lidar", 1, values, places, model.encoder_revisions["lidar"])
    for tokens in ([], [lidar]):
        alone, beside = (one.score("Are there any cars?", one.latents(tokens)) for one in (model, joined))
        assert alone.distribution == beside.distribution
    seen = object_tokens(list(located(detections_3d((hypotheses(bus=1.0), point(9.0, 0.0)))).detections), 1)
    assert joined.score("Are there any buss?", joined.latents([seen])).answer == "yes"
    model.modality_agnostic = None  # then the lidar's connector reads them
    other = of_rig(model, Rig("stack", (), None, None, ObjectsMount()))
    assert other.score("Are there any buss?", other.latents([seen])).answer == "yes"


def test_the_rig_file_names_topic_frame_and_classes(tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text("cameras: {left: {}}\nobjects: {topic: /yolo/detections, camera: left, bearing: 90, classes: {7: truck}}\n")
    mount = load_rig(path).objects
    assert (mount.topic, mount.camera, mount.classes) == ("/yolo/detections", "left", (("7", "truck"),))
    assert load_rig(path).mounts[-1] == mount and mount.bearing == pytest.approx(math.pi / 2)
    path.write_text("objects: {camera: left}\n")
    with pytest.raises(BadInput, match=r"objects.camera is 'left', not one of the cameras"):
        load_rig(path)
