# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about things beyond the ten classes: which they are, what a zero-shot detector answers, and the way to it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from recorded_moment import answers_about_one_moment
from test_assistant import Clock, plan, reading
from tiny_model import make_tiny_model
from zero_shot_folder import write_grounding_dino, write_owlvit

from mmllm_ros.assistant import Assistant, Cancelled
from mmllm_ros.config import LlmConfig
from mmllm_ros.datatypes import NANOSECONDS, BadInput, CameraFrame
from mmllm_ros.dialogue.open_vocabulary import NamedThing, OpenVocabulary, named_thing
from mmllm_ros.encoders.zero_shot import ZeroShotDetector
from mmllm_ros.model import Model
from mmllm_ros.rig import CameraMount, Rig, load_rig

FRONT = CameraMount("front", "camera/front/image_raw", 0.0, math.radians(90.0), (1.0, 0.0, 1.5))
LEFT = CameraMount("left", "camera/left/image_raw", math.radians(60.0), math.radians(90.0), (1.0, 0.0, 1.5))
ONE, TWO = Rig("one", (FRONT,)), Rig("two", (FRONT, LEFT))
IMAGE = np.zeros((400, 400, 3), np.uint8)


class FakeDetector:
    """Gives boxes by noun, the same in every image."""

    least = 0.2

    def __init__(self, **boxes: list[tuple[tuple[float, float, float, float], float]]) -> None:
        self.boxes = boxes

    def __call__(self, image, noun):
        found = self.boxes.get(noun, [])
        return np.array([corners for corners, _ in found], float).reshape(-1, 4), np.array([score for _, score in found])


def ask(question: str, rig: Rig = ONE, points=None, **boxes):
    frames = [CameraFrame(NANOSECONDS, mount.name, IMAGE) for mount in rig.cameras]
    return OpenVocabulary(FakeDetector(**boxes), rig, "fake").answer(question, frames, points, 2 * NANOSECONDS)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Is there a stroller?", NamedThing("exist", "stroller")),
        ("Are there any strollers behind me?", NamedThing("exist", "stroller", "back")),
        ("Can you tell me if there is a bag to the front left of me, please?", NamedThing("exist", "bag", "front left")),
        ("Do you see a stop sign?", NamedThing("exist", "stop sign")),
        ("How many benches are there?", NamedThing("count", "bench")),
        ("Where is the nearest dog", NamedThing("where", "dog")),
        ("How far away is the fire hydrant?", NamedThing("distance", "fire hydrant")),
    ],
)  # fmt: skip
def test_a_question_about_a_thing_of_another_name_is_recognized(question, expected):
    assert named_thing(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "Is there a car?",
        "Are there any fire trucks?",
        "How many people do you see?",
        "Is there anything behind me?",
        "What colour is the bench?",
        "Are there any moving strollers?",  # one image tells no motion
        "Is there a stroller behind the bus?",  # a place that boxes of strollers do not tell
        "Is there any rain?",
        "Am I moving?",
        "How many cameras do you have?",
    ],
)
def test_any_other_question_is_left_to_the_language_model(question):
    assert named_thing(question) is None and ask(question) is None


def test_existence_and_number_are_those_of_the_boxes_above_the_least_score():
    boxes = [((150, 200, 190, 260), 0.6), ((300, 200, 340, 260), 0.3), ((50, 200, 90, 260), 0.1)]
    yes = ask("Is there a stroller?", stroller=boxes)
    # Odds 0.6 / 0.4 over those of the least score 0.2 / 0.8: six to one.
    assert yes.answer == "yes" and yes.confidence == pytest.approx(6 / 7) and yes.model == "fake"
    assert yes.evidence[0].note == "zero-shot detector, not calibrated: stroller 0.60" and yes.evidence[0].age == 1.0
    assert ask("How many strollers are there?", stroller=boxes).answer == "2"
    no = ask("Is there a dog?", stroller=boxes)
    assert no.answer == "no" and no.confidence == 1.0


def test_a_direction_selects_boxes_and_one_that_no_camera_shows_has_no_answer():
    rig, left = Rig("wide", (CameraMount("front", "image", 0.0, math.radians(170.0)),)), [((20, 200, 60, 260), 0.9)]
    # 160 of 200 pixels to the left of the middle of a view of 170 degrees: 84 degrees.
    assert ask("Is there a dog to my front left?", rig, dog=left).answer == "yes"
    assert ask("Is there a dog in front of me?", rig, dog=left).answer == "no"
    assert ask("Is there a dog behind me?", rig, dog=left) is None


def test_what_two_cameras_show_is_counted_once():
    # In the front view 30 degrees to the left: 200 - 200 tan 30; in the view to the left 30 degrees to the right.
    offset = 200 * math.tan(math.radians(30.0))

    class Both(FakeDetector):
        views = iter((200 - offset, 200 + offset))

        def __call__(self, image, noun):
            middle = next(self.views)
            return np.array([[middle - 10, 190, middle + 10, 240]]), np.array([0.7])

    frames = [CameraFrame(0, mount.name, IMAGE) for mount in TWO.cameras]
    assert OpenVocabulary(Both(), TWO, "fake").answer("How many dogs are there?", frames, None, 0).answer == "1"


def test_place_and_distance_come_from_the_lidar_or_the_ground():
    box = [((180, 190, 220, 230), 0.8)]
    # The lower edge 30 pixels below the middle of a focal length of 200: flat ground 1.5 m below is met 10 m away.
    assert ask("How far away is the dog?", dog=box).answer == "10 to 20 metres"
    wall = np.array([[7.0, 0.3 * y, z, 0.0] for y in np.linspace(-1, 1, 9) for z in (1.2, 1.3, 1.4, 1.5)], np.float32)
    assert ask("Where is the dog?", points=wall, dog=box).answer == "front, 5 to 10 metres"
    assert ask("Where is the dog?", points=wall).answer == "I see no dog"
    # Above the horizon and without points nothing tells the range.
    assert ask("Where is the balloon?", balloon=[((180, 20, 220, 60), 0.8)]).answer == "front"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("write", [write_owlvit, write_grounding_dino])
def test_a_hugging_face_detector_in_a_folder_is_loaded_and_asked(write, tmp_path):
    detector = ZeroShotDetector(str(write(tmp_path)))
    corners, scores = detector(np.random.default_rng(0).integers(0, 255, (64, 48, 3)).astype(np.uint8), "stroller")
    assert len(corners) == len(scores) > 0 and 0 < detector.least < 1
    assert (corners >= 0).all() and (corners <= [48, 64, 48, 64]).all() and (scores <= 1).all()


def test_a_detector_that_is_not_there_is_refused_in_one_line(tmp_path):
    with pytest.raises(BadInput, match=r"zero-shot object detector .* cannot be loaded"):
        ZeroShotDetector(str(tmp_path / "none"))


def test_the_assistant_asks_the_detector_about_such_things_alone(tmp_path):
    model = Model.load(make_tiny_model(tmp_path), "cpu")
    asked = []

    def look(question, seconds):
        asked.append((question, seconds))
        return ask(question, stroller=[((150, 200, 190, 260), 0.6)])

    assistant = Assistant(model, LlmConfig(timeout=7.0), Clock(), rig=load_rig("front"), look=look)
    assistant.put(reading(model, "camera"))
    pieces = []
    answer = assistant.ask("Is there a stroller?", "one", on_text=pieces.append)
    assert (answer.answer, answer.model, answer.question_id) == ("yes", "fake", "one") and pieces == ["yes"]
    ((question, seconds),) = asked
    assert question == "Is there a stroller?" and 3.0 < seconds <= 3.5  # the other half is for the language model
    assert "camera front" in assistant.ask("How do you know?").answer
    assistant.ask("are there any cars ?")
    with pytest.raises(Cancelled):
        assistant.ask("Is there a stroller?", cancelled=lambda: True)
    assert len(asked) == 1
    assistant.set_plan(plan(camera=False))
    assistant.ask("Is there a stroller?")
    assert len(asked) == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_recording_is_asked_without_ros(tmp_path):
    said = answers_about_one_moment(tmp_path, f"open_vocabulary: {write_owlvit(tmp_path / 'owlvit')}", "Are there any strollers?")
    (row,) = [json.loads(line) for line in said.splitlines()]
    assert row["answer"] in ("yes", "no") and "zero-shot detector, not calibrated: stroller" in json.dumps(row)


def test_a_rig_with_another_kind_of_value_is_refused(tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text("cameras: {front: {}}\nopen_vocabulary: [a, b]\n")
    with pytest.raises(BadInput, match="open_vocabulary is"):
        load_rig(path)
