# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The nuScenes reader, on a simulated drive written in the layout of nuScenes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nuscenes_folder import write_folder

from mmllm_ros.datatypes import BadInput, CameraFrame, ImuWindow, LidarScan, Question
from mmllm_ros.io.nuscenes import TABLES, NuScenes, read_sweep
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive


@pytest.fixture(scope="module")
def keyframes():
    drive, captured = Drive(3, load_rig("nuscenes"), "day", camera_size=(16, 32)), []
    for _ in range(3):
        drive.advance(0.5)
        snapshot = drive.capture()
        captured.append([*snapshot.cameras, snapshot.lidar, snapshot.imu])
    return captured


@pytest.fixture
def folder(tmp_path, keyframes):
    write_folder(tmp_path, keyframes)
    return tmp_path


def _tables(folder, name, change):
    path = folder / "v1.0-mini" / f"{name}.json"
    records = json.loads(path.read_text())
    change(records)
    path.write_text(json.dumps(records))


def test_a_drive_is_read_as_it_was_captured(folder, keyframes):
    dataset = NuScenes(folder)
    assert dataset.tokens() == ["sample-0", "sample-1", "sample-2"]
    keyframe = dataset.keyframe("sample-1")
    assert (keyframe.scene, keyframe.context) == ("scene-0001", "night")
    captured = {frame.source: frame for frame in keyframes[1]}
    assert {frame.source for frame in keyframe.frames} == set(captured)
    for frame in keyframe.frames:
        assert frame.stamp == captured[frame.source].stamp
        if isinstance(frame, CameraFrame):
            np.testing.assert_array_equal(frame.image, captured[frame.source].image)
        elif isinstance(frame, LidarScan):
            np.testing.assert_allclose(frame.points, captured["lidar"].points, atol=1e-5)
    assert [frame.stamp for frame in keyframe.previous[:7]] == [frame.stamp for frame in keyframes[0][:7]]
    assert dataset.keyframe("sample-0").previous == ()


def test_the_imu_window_is_the_last_second_of_the_can_bus(folder):
    window = next(frame for frame in NuScenes(folder).keyframe("sample-2").frames if isinstance(frame, ImuWindow))
    assert window.times[-1] == window.stamp
    assert np.all(np.diff(window.times) >= 0)
    assert 0 < window.stamp - window.times[0] < 1_000_000_000
    assert abs(np.median(window.samples[:, 2]) - 9.81) < 1.0


def test_a_folder_without_a_can_bus_has_no_imu(folder):
    shutil.rmtree(folder / "can_bus")
    assert not [frame for frame in NuScenes(folder).keyframe("sample-2").frames if isinstance(frame, ImuWindow)]


def test_lidar_points_are_turned_from_right_and_forward_to_forward_and_left(tmp_path):
    # A point 10 m ahead and 2 m to the right, in the axes of the file: x right 2, y forward 10.
    np.array([[2, 10, -1, 51, 3]], "<f4").tofile(tmp_path / "a.pcd.bin")
    np.testing.assert_allclose(read_sweep(tmp_path / "a.pcd.bin"), [[10, -2, -1, 0.2]], atol=1e-6)


def test_questions_are_joined_in_time_order_and_those_of_other_folders_are_skipped(folder):
    questions = [Question("q", "yes", "exist", 0, token) for token in ("sample-2", "elsewhere", "sample-0", "sample-2")]
    joined = list(NuScenes(folder).join(questions))
    assert [(keyframe.token, len(asked)) for keyframe, asked in joined] == [("sample-0", 1), ("sample-2", 2)]
    with pytest.raises(BadInput, match="none of 1 questions is about a sample"):
        NuScenes(folder).join(questions[1:2])


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_table_is_named(folder, name):
    (folder / "v1.0-mini" / f"{name}.json").unlink()
    with pytest.raises(BadInput, match=rf"has no table {name}\.json"):
        NuScenes(folder)


def test_a_folder_that_is_not_nuscenes_or_is_two_versions_is_refused(tmp_path, folder):
    with pytest.raises(BadInput, match="not one nuScenes version: it has no folder"):
        NuScenes(tmp_path / "nowhere")
    (folder / "v1.0-trainval").mkdir()
    with pytest.raises(BadInput, match=r"it has v1\.0-mini, v1\.0-trainval"):
        NuScenes(folder)


@pytest.mark.parametrize(
    ("table", "field"),
    [("scene", "name"), ("sample", "timestamp"), ("sample", "prev"), ("sample_data", "filename"), ("sensor", "channel"),
     ("calibrated_sensor", "sensor_token")],
)  # fmt: skip
def test_a_missing_field_is_named_with_its_record(folder, table, field):
    _tables(folder, table, lambda records: records[0].pop(field))
    with pytest.raises(BadInput, match=rf"{table}\.json: record 0 has no field '{field}'"):
        NuScenes(folder)


def test_a_field_of_another_type_a_dangling_token_and_a_file_outside_are_named(folder):
    _tables(folder, "sample_data", lambda records: records[0].update(filename="../../secret.png"))
    with pytest.raises(BadInput, match="lies outside the folder"):
        NuScenes(folder)
    _tables(folder, "sample_data", lambda records: records[0].update(filename="a.png", calibrated_sensor_token="x"))
    with pytest.raises(BadInput, match="names token 'x', which no table holds"):
        NuScenes(folder)
    _tables(folder, "sample", lambda records: records[0].update(timestamp="soon"))
    with pytest.raises(BadInput, match="field 'timestamp' is str, not int"):
        NuScenes(folder)


def test_a_missing_or_damaged_sensor_file_is_named(folder):
    (folder / "samples" / "LIDAR_TOP" / "sample-1.pcd.bin").write_bytes(b"1234567")
    with pytest.raises(BadInput, match="has 7 bytes, not a multiple of 20"):
        NuScenes(folder).keyframe("sample-1")
    (folder / "samples" / "CAM_BACK" / "sample-1.png").unlink()
    with pytest.raises(BadInput, match="cannot be read"):
        NuScenes(folder).keyframe("sample-1")
    with pytest.raises(BadInput, match="has no sample 'sample-9'"):
        NuScenes(folder).keyframe("sample-9")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=100))
def test_any_bytes_of_a_sweep_are_points_or_one_line(tmp_path, content):
    (tmp_path / "a.pcd.bin").write_bytes(content)
    try:
        points = read_sweep(tmp_path / "a.pcd.bin")
    except BadInput as refusal:
        assert "\n" not in str(refusal)
    else:
        assert points.shape[1] == 4 and np.isfinite(points).all()


@pytest.fixture
def write_two_keyframes(keyframes):
    """Writes them into a folder. A function, since hypothesis prints its arguments, and frames are long."""
    return lambda folder: write_folder(folder, keyframes[:2])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.sampled_from(["scene", "sample", "sample_data", "sensor", "calibrated_sensor"]),
    field=st.sampled_from(["token", "name", "timestamp", "prev", "scene_token", "filename", "is_key_frame", "channel"]),
    value=st.none() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=2),
)
@example(table="sample", field="prev", value="0")
def test_any_value_in_a_table_is_used_or_refused_in_one_line(tmp_path, write_two_keyframes, table, field, value):
    write_two_keyframes(tmp_path)
    _tables(tmp_path, table, lambda records: records[-1].update({field: value}))
    try:
        dataset = NuScenes(tmp_path)
        for token in dataset.tokens():
            dataset.keyframe(token)
    except BadInput as refusal:
        assert "\n" not in str(refusal)
