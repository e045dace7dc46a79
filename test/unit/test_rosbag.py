# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings: frames are read as they were written, and a damaged file is refused in one line."""

from __future__ import annotations

import re
import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmllm_ros.datatypes import GRAVITY, NANOSECONDS, BadInput, CameraFrame, ImuWindow, LidarScan
from mmllm_ros.io.frames import ImuBuffer, from_imu, same_topic
from mmllm_ros.io.rosbag import Recorder, Recording
from mmllm_ros.rig import ImuMount, load_rig

START = 1_700_000_000 * NANOSECONDS


def frames(seed=0):
    """One second of a drive: a camera image and a sweep every half second, and the IMU at 100 Hz as overlapping windows."""
    rng = np.random.default_rng(seed)
    made = []
    for step in (0, 1, 2):
        stamp = START + step * NANOSECONDS // 2
        times = stamp - np.arange(99, -1, -1, dtype=np.int64) * 10_000_000
        samples = np.repeat([[0.1, 0.2, GRAVITY, 0.01, 0.02, 0.03]], 100, axis=0).astype(np.float32)
        points = np.concatenate([rng.normal(0, 20, (500, 3)), rng.random((500, 1))], axis=1).astype(np.float32)
        made += [
            ImuWindow(stamp, "imu", times, samples),
            CameraFrame(stamp, "front", rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)),
            LidarScan(stamp, "lidar", points),
        ]
    return made


@pytest.fixture
def bag(tmp_path):
    with Recorder(tmp_path / "bag", load_rig("front")) as recorder:
        recorder.write(frames())
    return tmp_path / "bag"


@pytest.mark.parametrize("rig_name", ["front", "radiate"])
def test_frames_are_read_as_written_for_any_axes_of_the_rig(tmp_path, rig_name):
    rig = load_rig(rig_name)
    with Recorder(tmp_path / "bag", rig) as recorder:
        recorder.write(frames())
    back = list(Recording(tmp_path / "bag").frames(rig))
    assert [frame.stamp for frame in back] == sorted(frame.stamp for frame in back)
    written = frames()
    cameras = [frame for frame in back if isinstance(frame, CameraFrame)]
    for was, now in zip((f for f in written if isinstance(f, CameraFrame)), cameras, strict=True):
        assert (was.stamp, was.source) == (now.stamp, now.source)
        np.testing.assert_array_equal(was.image, now.image)
    sweeps = [frame for frame in back if isinstance(frame, LidarScan)]
    for was, now in zip((f for f in written if isinstance(f, LidarScan)), sweeps, strict=True):
        assert was.stamp == now.stamp
        np.testing.assert_allclose(now.points, was.points, atol=1e-5)
    newest = [frame for frame in back if isinstance(frame, ImuWindow)][-1]
    np.testing.assert_allclose(newest.samples[-1], written[0].samples[-1], atol=1e-5)


def test_every_imu_sample_of_overlapping_windows_is_written_once(bag):
    # three windows of 1 s, each half a second later: from -0.99 s to 1 s in steps of 10 ms are 200 samples
    assert Recording(bag).topics["/imu/data"].count == 200


def test_imu_windows_are_yielded_ten_times_a_second_and_span_one_second(bag):
    windows = [frame for frame in Recording(bag).frames(load_rig("front")) if isinstance(frame, ImuWindow)]
    assert set(np.diff([window.stamp for window in windows[1:]])) == {NANOSECONDS // 10}
    assert windows[-1].times[-1] - windows[-1].times[0] == NANOSECONDS
    assert (np.diff(windows[-1].times) > 0).all()


def test_a_recording_names_its_topics_with_type_count_and_offered_qos(bag):
    topics = Recording(bag).topics
    assert topics["/camera/front/image_raw"].type == "sensor_msgs/msg/Image"
    assert topics["/camera/front/camera_info"].count == 3
    assert topics["/tf_static"].qos[0].durability.name == "TRANSIENT_LOCAL"


def test_a_recording_has_a_start_and_an_end(bag):
    recording = Recording(bag)
    assert recording.start == START - 990_000_000
    assert recording.end == START + NANOSECONDS
    assert recording.duration == pytest.approx(1.99)


def test_one_mcap_file_reads_like_its_folder(bag):
    assert [f.stamp for f in Recording(bag / "bag.mcap").frames(load_rig("front"))] == [
        f.stamp for f in Recording(bag).frames(load_rig("front"))
    ]


def test_raw_reads_only_the_given_topics_from_the_given_time(bag):
    messages = list(Recording(bag).raw(["/lidar/points"], start=1.2))
    assert [(topic, time - START) for topic, _, time, _ in messages] == [
        ("/lidar/points", NANOSECONDS // 2),
        ("/lidar/points", NANOSECONDS),
    ]


def test_topics_are_chosen_with_or_without_their_slash_and_all_of_them_by_default(bag):
    recording = Recording(bag)
    assert recording.chosen("lidar/points, /imu/data") == ["/lidar/points", "/imu/data"]
    assert recording.chosen("") == sorted(recording.topics)


def test_raw_of_no_topics_reads_nothing(bag):
    assert list(Recording(bag).raw([])) == []


def test_a_compressed_topic_replaces_the_raw_topic_of_the_rig(tmp_path):
    with Recorder(tmp_path / "bag", load_rig("radiate")) as recorder:
        recorder.write(frames())
    found = Recording(tmp_path / "bag").sensors(load_rig("front"))
    assert "/camera/front/image_raw/compressed" in found
    assert same_topic("/camera/front/image_raw/compressed", "camera/front/image_raw")
    assert not same_topic("/camera/front_right/image_raw", "camera/front/image_raw")


@pytest.mark.parametrize("rig_name", ["front", "radiate"])
def test_the_fitting_rig_is_the_one_whose_topics_are_recorded(tmp_path, rig_name):
    with Recorder(tmp_path / "bag", load_rig(rig_name)) as recorder:
        recorder.write(frames())
    assert Recording(tmp_path / "bag").fitting_rig() == rig_name


def test_a_recorder_does_not_overwrite(bag):
    with pytest.raises(BadInput, match="exists already"):
        Recorder(bag, load_rig("front"))


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message and len(message) < 600
    return message


def test_a_missing_bag_is_named(tmp_path):
    with pytest.raises(BadInput) as error:
        Recording(tmp_path / "nowhere")
    assert "nowhere does not exist" in one_line(error)


def test_a_folder_without_metadata_is_refused_in_one_line(tmp_path):
    with pytest.raises(BadInput) as error:
        Recording(tmp_path)
    assert "metadata" in one_line(error)


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.99])
def test_a_truncated_mcap_is_refused_in_one_line(bag, kept):
    file = bag / "bag.mcap"
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    for path in (bag, file):
        with pytest.raises(BadInput) as error:
            Recording(path)
        assert str(path) in one_line(error)


@pytest.mark.parametrize(
    ("pattern", "replacement", "named"),
    [
        ("storage_identifier: mcap", "storage_identifier: tape", "tape"),
        ("version: 9", "version: 99", "99"),
        ("message_count", "message_cuont", "message_count"),
        ("rosbag2_bagfile_information:", "rosbag2_bagfile_information: [", "YAML"),
        ("bag.mcap", "other.mcap", "other.mcap"),
        (r"(?s)\A.*\Z", "just a string", "metadata"),
    ],
)
def test_malformed_metadata_is_refused_in_one_line(bag, pattern, replacement, named):
    metadata = bag / "metadata.yaml"
    metadata.write_text(re.sub(pattern, replacement, metadata.read_text()))
    with pytest.raises(BadInput) as error:
        Recording(bag)
    assert named in one_line(error)


def test_the_error_for_a_bag_without_sensor_topics_lists_its_topics_and_those_of_the_rig(bag):
    with pytest.raises(BadInput) as error:
        Recording(bag).sensors(load_rig("imu_stationary"))
    message = one_line(error)
    assert "ins/imu" in message and "/lidar/points (sensor_msgs/msg/PointCloud2)" in message


def test_an_unknown_topic_and_a_start_after_the_end_are_refused(bag):
    with pytest.raises(BadInput, match="no topic '/sonar'"):
        Recording(bag).chosen("lidar/points, sonar")
    with pytest.raises(BadInput, match=r"start 60.0 s is after the end"):
        list(Recording(bag).raw(start=60.0))


def test_one_unreadable_message_is_skipped_with_a_warning_and_the_rest_is_read(tmp_path, caplog):
    rig = load_rig("front")
    with Recorder(tmp_path / "bag", rig) as recorder:
        recorder.write(frames())
        recorder._writer.write(recorder._connections["/lidar/points"], START + 2 * NANOSECONDS, b"\0\1\0\0nonsense")
    back = list(Recording(tmp_path / "bag").frames(rig))
    assert sum(isinstance(frame, LidarScan) for frame in back) == 3
    assert "/lidar/points at" in caplog.text


def test_a_sqlite_bag_with_unknown_types_reads_the_topics_of_known_types(tmp_path, bag):
    """A version 5 sqlite3 bag, the format of ros2 bag before mcap."""
    *_, early, imu = Recording(bag).raw(["/imu/data"])
    folder = tmp_path / "old"
    folder.mkdir()
    with sqlite3.connect(folder / "old_0.db3") as db:
        db.executescript(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT,"
            " offered_qos_profiles TEXT);"
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB);"
            "INSERT INTO topics VALUES (1, '/imu/data', 'sensor_msgs/msg/Imu', 'cdr', ''),"
            " (2, '/odd', 'odd_msgs/msg/Odd', 'cdr', '');"
        )
        rows = [(1, 1, early[2], early[3]), (2, 2, early[2] + 5, b"\0\1\0\0"), (3, 1, imu[2], imu[3])]
        db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", rows)
    db.close()
    entry = (
        "    - topic_metadata: {{name: {}, type: {}, serialization_format: cdr, offered_qos_profiles: ''}}\n"
        "      message_count: 1\n"
    )
    (folder / "metadata.yaml").write_text(
        "rosbag2_bagfile_information:\n  version: 5\n  storage_identifier: sqlite3\n  relative_file_paths: [old_0.db3]\n"
        f"  duration: {{nanoseconds: {imu[2] - early[2]}}}\n  starting_time: {{nanoseconds_since_epoch: {early[2]}}}\n"
        "  message_count: 3\n"
        "  compression_format: ''\n  compression_mode: ''\n  topics_with_message_count:\n"
        + entry.format("/imu/data", "sensor_msgs/msg/Imu")
        + entry.format("/odd", "odd_msgs/msg/Odd")
    )
    recording = Recording(folder)
    assert recording.topics["/odd"].type == "odd_msgs/msg/Odd"
    (window,) = recording.frames(load_rig("front"))
    np.testing.assert_allclose(window.samples[0], [0.1, 0.2, GRAVITY, 0.01, 0.02, 0.03], atol=1e-5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.binary(max_size=400), magic=st.booleans(), suffix=st.sampled_from([".mcap", ".db3", ".bag"]))
def test_random_bytes_are_refused_in_one_line(tmp_path, garbage, magic, suffix):
    mark = b"\x89MCAP0\r\n"
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(mark + garbage + mark if magic else garbage)
    with pytest.raises(BadInput) as error:
        Recording(path)
    one_line(error)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_byte_gives_frames_or_one_line_and_never_another_error(bag, data):
    content = bytearray((bag / "bag.mcap").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = bag.parent / "flipped.mcap"
    path.write_bytes(content)
    try:
        list(Recording(path).frames(load_rig("front")))
    except BadInput as error:
        assert "\n" not in str(error)


def test_an_upright_imu_reads_gravity_upwards():
    # the recorded specific force of the parked car: 9.93 on -x, so -x is up
    samples = from_imu(np.array([[-9.93, -0.1, 0.54, 0.0, 0.0, 0.3]]), load_rig("imu_stationary").imu)
    np.testing.assert_allclose(samples[0], [0.54, -0.1, 9.93, 0.3, 0.0, 0.0], atol=1e-6)


def test_gravity_that_the_driver_removes_is_added():
    mount = ImuMount(axes=("+x", "-y", "-z"), gravity_removed=True)
    np.testing.assert_allclose(from_imu(np.zeros((1, 6)), mount)[0], [0, 0, GRAVITY, 0, 0, 0], atol=1e-6)


def test_an_imu_buffer_drops_late_samples_and_is_cleared_by_a_jump_back():
    buffer = ImuBuffer("imu")
    sample = np.zeros(6, np.float32)
    assert buffer.window() is None
    assert buffer.push(10 * NANOSECONDS, sample)
    assert not buffer.push(10 * NANOSECONDS, sample)
    assert not buffer.push(10 * NANOSECONDS - 1, sample)
    assert buffer.push(5 * NANOSECONDS, sample)
    assert buffer.window() is None
    assert buffer.push(5 * NANOSECONDS + 1, sample)
    assert buffer.window().times.tolist() == [5 * NANOSECONDS, 5 * NANOSECONDS + 1]


def test_messages_are_read_where_metadata_and_storage_state_other_qos(bag):
    metadata = bag / "metadata.yaml"
    assert metadata.read_text().count("reliability: 1") or metadata.read_text().count("reliability: reliable")
    metadata.write_text(re.sub(r"reliability: \w+", "reliability: best_effort", metadata.read_text()))
    recording = Recording(bag)
    assert len(list(recording.raw({"/imu/data"}))) == recording.topics["/imu/data"].count == 200


@pytest.mark.parametrize("name", ["run#1", "run?x", "run%20two"])
def test_a_recording_may_lie_in_a_folder_of_any_name(bag, tmp_path, name):
    bag.rename(tmp_path / name)
    assert len(list(Recording(tmp_path / name).raw({"/imu/data"}))) == 200


def test_unmerged_messages_beside_a_database_are_refused_with_the_cure(bag):
    (bag / "bag_0.db3-wal").write_bytes(b"pages")
    with pytest.raises(BadInput, match=r"sqlite3 .*bag_0.db3 'PRAGMA wal_checkpoint"):
        Recording(bag)


def test_a_ros_1_bag_is_refused_with_the_cure(tmp_path):
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(BadInput, match="rosbags-convert"):
        Recording(tmp_path / "old.bag")
