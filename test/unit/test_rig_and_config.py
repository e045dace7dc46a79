# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mmllm_ros import config
from mmllm_ros.datatypes import BadInput
from mmllm_ros.rig import Rig, load_rig, rotation

SECTIONS = [kind for kind in vars(config).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
FIELDS = [(kind, field) for kind in SECTIONS for field in dataclasses.fields(kind)]
KNOWN = ["cameras", "front", "lidar", "imu", "topic", "axes", "position", "rings", "fov", "fov_up", "bearing", "gravity_removed"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["+x", "-y", "+z"])
KEYS = st.sampled_from(KNOWN) | st.text(max_size=4) | st.integers()
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@pytest.fixture(scope="module")
def rig_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rigs") / "robot.yaml"


def refusal(rig_file: Path, text: str) -> str:
    rig_file.write_text(text)
    with pytest.raises(BadInput) as error:
        load_rig(rig_file)
    return str(error.value)


def test_the_error_for_nested_lists_is_short(rig_file):
    document = "a name of some length"
    for _ in range(6):
        document = [document] * 6
    assert len(refusal(rig_file, yaml.safe_dump(document))) < 300


@given(document=DOCUMENTS)
def test_any_yaml_is_a_rig_or_one_line_that_says_why_not(rig_file: Path, document: object) -> None:
    rig_file.write_text(yaml.safe_dump(document))
    try:
        rig = load_rig(rig_file)
    except BadInput as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
    else:
        assert isinstance(rig, Rig)
        assert all(math.isfinite(camera.bearing) and 0 < camera.fov < math.pi for camera in rig.cameras)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_rig_or_one_line_that_says_why_not(rig_file: Path, data: bytes) -> None:
    rig_file.write_bytes(data)
    try:
        load_rig(rig_file)
    except BadInput as error:
        assert "\n" not in str(error)


@given(bearing=st.floats(-360, 360), fov=st.floats(10, 170), rings=st.integers(1, 1024))
def test_degrees_of_the_file_are_radians_of_the_rig(rig_file: Path, bearing: float, fov: float, rings: int) -> None:
    rig_file.write_text(yaml.safe_dump({"cameras": {"left": {"bearing": bearing, "fov": fov}}, "lidar": {"rings": rings}}))
    rig = load_rig(rig_file)
    assert rig.camera("left").bearing == math.radians(bearing)
    assert rig.camera("left").fov == math.radians(fov)
    assert rig.camera("left").topic == "camera/left/image_raw"
    assert (rig.name, rig.lidar.rings, rig.imu) == ("robot", rings, None)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("cameras: {front: {bearing: .nan}}", "cameras.front.bearing is nan"),
        ("cameras: {front: {place: [0, 0, 1]}}", "no setting 'place'"),
        ("cameras: {front: {topic: 'image raw'}}", "'image raw', not a ROS topic name"),
        ("cameras: {'front left': {}}", "camera name 'front left'"),
        ("cameras: [front]", "cameras is ['front']"),
        ("lidar: {rings: 1000000000}", "lidar.rings is 1000000000"),
        ("lidar: {rings: 1.5}", "lidar.rings is 1.5, not a whole number"),
        ("lidar: {axes: [+x, +y, -z]}", "not three right-handed signed axes"),
        ("lidar: {fov_up: -30, fov_down: 10}", "lidar.fov_down is 10"),
        ("lidar: {encoder: boxes}", "lidar.encoder is 'boxes', not clusters"),
        ("imu: {gravity_removed: 'no'}", "imu.gravity_removed is 'no'"),
        ("- front", "a rig is ['front'], not a mapping"),
        ("[" * 5000, "recursion"),
        ("#" * 1_000_001, "at most 1 MB"),
    ],
)
def test_the_error_for_a_wrong_rig_names_the_setting(rig_file: Path, text: str, named: str) -> None:
    assert named in refusal(rig_file, text)


@pytest.mark.parametrize("name", ["", "nowhere", "nowhere.yaml", "x" * 5000, "a\0b", ".."])
def test_an_unknown_rig_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(BadInput, match=r"^rig [^\n]*$"):
        load_rig(name)


@pytest.mark.parametrize("name", ["front", "nuscenes", "radiate"])
def test_the_shipped_rigs_load_and_their_axes_are_rotations(name: str) -> None:
    rig = load_rig(name)
    assert rig.cameras
    for mount in (rig.lidar, rig.imu):
        turn = rotation(mount.axes)
        np.testing.assert_array_equal(turn @ turn.T, np.eye(3))


def test_a_lidar_with_y_forward_is_rotated_to_x_forward() -> None:
    # +y of the sensor looks forward, so a point one metre along it is one metre ahead.
    assert rotation(("+y", "-x", "+z")) @ [0.0, 1.0, 0.0] == pytest.approx([1.0, 0.0, 0.0])


@pytest.mark.parametrize("kind", SECTIONS, ids=lambda kind: kind.__name__)
def test_the_defaults_of_every_section_are_within_their_own_ranges(kind: type) -> None:
    assert kind() == kind()


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=lambda part: getattr(part, "__name__", None) or part.name)
@given(value=st.none() | st.integers() | st.floats() | st.booleans() | st.text(max_size=5) | st.lists(st.integers(), max_size=2))
def test_a_parameter_accepts_its_type_and_range_and_its_error_names_it(
    kind: type, field: dataclasses.Field, value: object
) -> None:
    try:
        section = kind(**{field.name: value})
    except BadInput as error:
        assert str(error).startswith(f"parameter {field.name} is ")
        assert "\n" not in str(error)
    else:
        rules = field.metadata
        assert type(value) is type(field.default) or (type(value), type(field.default)) == (int, float)
        assert rules["minimum"] is None or value >= rules["minimum"]
        assert rules["maximum"] is None or value <= rules["maximum"]
        assert rules["choices"] is None or value in rules["choices"]
        assert getattr(section, field.name) == value


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=lambda part: getattr(part, "__name__", None) or part.name)
def test_every_parameter_has_a_description(kind: type, field: dataclasses.Field) -> None:
    assert len(field.metadata["description"]) > 5


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("cameras: {front: {}}\nlidar: {rings: 16}\nlidar: {rings: 32}\n", "'lidar' is given twice, the second time in line 3"),
        ("cameras:\n  front: {}\n  front: {fov: 60}\n", "'front' is given twice"),
        ("cameras: {front: {}}\nimu:\n", "imu is blank"),
    ],
)
def test_a_key_given_twice_and_a_blank_sensor_are_refused(tmp_path, content, complaint):
    path = tmp_path / "robot.yaml"
    path.write_text(content)
    with pytest.raises(BadInput, match=complaint):
        load_rig(path)


@pytest.mark.parametrize("kind", SECTIONS, ids=lambda kind: kind.__name__)
def test_a_drive_has_the_defaults_of_its_nodes(kind: type) -> None:
    """It passes on only what differs from its own defaults; seed and duration of the simulator it always passes."""
    defaults = {field.name: field.default for field in dataclasses.fields(config.DriveConfig)}
    own = {field.name: field.default for field in dataclasses.fields(kind) if field.name not in ("seed", "duration")}
    assert {name: defaults[name] for name in own if name in defaults} == {name: own[name] for name in own if name in defaults}
