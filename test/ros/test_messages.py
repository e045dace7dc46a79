# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages and datatypes hold the same values, converted by cv_bridge and sensor_msgs_py or by mmllm_ros."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2, PointField
from std_msgs.msg import Header

from mmllm_ros.datatypes import Answer, BadInput, Evidence, Health, Plan, Tokens
from mmllm_ros.nodes.ros_support import message_conversion
from mmllm_ros.nodes.ros_support.known_sources import MOST_SOURCES, KnownSources
from mmllm_ros.nodes.ros_support.messages import (
    answer_from_message,
    answer_to_message,
    frame_from_message,
    health_from_message,
    health_to_message,
    imu_from_message,
    plan_from_message,
    plan_to_message,
    tokens_from_message,
    tokens_to_message,
)
from mmllm_ros.nodes.ros_support.rejections import MOST_REASONS, Rejections
from mmllm_ros.rig import CameraMount, ImuMount, LidarMount

STAMP = 1_700_000_000_123_456_789
HEADER = Header(stamp=Time(sec=1_700_000_000, nanosec=123_456_789), frame_id="sensor")
FRONT = CameraMount("front", "camera/front/image_raw", 0.0, 1.2)
PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
LIBRARIES = {"cv_bridge", "sensor_msgs_py"}
USABLE = sorted(name for name in LIBRARIES - message_conversion._unusable if find_spec(name))


@pytest.fixture(params=["own", *USABLE], autouse=True)
def library(request, monkeypatch):
    """Every test runs on our own conversions, and on each third-party one that is installed. No registry has them for wheels."""
    monkeypatch.setattr(message_conversion, "_unusable", LIBRARIES - {request.param})
    return request.param


def image(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> Image:
    rows = np.frombuffer(pixels.tobytes(), np.uint8).reshape(len(pixels), -1)
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=170)
    size = {"height": pixels.shape[0], "width": pixels.shape[1], "step": data.shape[1]}
    return Image(header=HEADER, encoding=encoding, is_bigendian=big_endian, data=data.tobytes(), **size)


def cloud(columns: dict[str, np.ndarray], height: int = 1, padding: int = 0, big_endian: bool = False) -> PointCloud2:
    kinds = {"u1": PointField.UINT8, "u2": PointField.UINT16, "f4": PointField.FLOAT32, "f8": PointField.FLOAT64}
    order = ">" if big_endian else "<"
    dtype = np.dtype([(name, values.dtype.newbyteorder(order)) for name, values in columns.items()])
    points = np.zeros((height, len(next(iter(columns.values()))) // height), dtype)
    for name, values in columns.items():
        points[name] = values.reshape(points.shape)
    rows = np.frombuffer(points.tobytes(), np.uint8).reshape(height, -1)
    data = np.pad(rows, ((0, 0), (0, padding)))
    return PointCloud2(
        header=HEADER,
        height=height,
        width=points.shape[1],
        fields=[
            PointField(name=name, offset=dtype.fields[name][1], datatype=kinds[values.dtype.str[1:]], count=1)
            for name, values in columns.items()
        ],
        is_bigendian=big_endian,
        point_step=dtype.itemsize,
        row_step=data.shape[1],
        data=data.tobytes(),
    )


def points(count: int, kind: str = "f4") -> dict[str, np.ndarray]:
    values = np.random.default_rng(1).uniform(1, 50, (4, count)).astype(kind)
    values[3] /= 50.0
    return dict(zip(["x", "y", "z", "intensity"], values, strict=True))


@pytest.mark.parametrize("padding", [0, 3, 5, 8])
@pytest.mark.parametrize("order", ["rgb", "bgr", "rgba", "bgra"])
def test_a_colour_image_becomes_the_rgb_frame_of_its_source(order, padding):
    channels = np.stack([PICTURE[..., "rgba".index(c) % 3] for c in order], -1)
    frame = frame_from_message(image(channels, f"{order}8", padding), "front", FRONT)
    assert (frame.stamp, frame.source) == (STAMP, "front")
    np.testing.assert_array_equal(frame.image, PICTURE)


@pytest.mark.parametrize("big_endian", [False, True])
def test_mono16_keeps_its_brightness_in_either_byte_order(big_endian):
    grey = np.array([[0, 0x1234, 0x80FF, 0xFFFF]], ">u2" if big_endian else "<u2")
    frame = frame_from_message(image(grey, "mono16", big_endian=big_endian), "front", FRONT)
    np.testing.assert_allclose(frame.image[0, :, 1].astype(int), [0, 0x12, 0x80, 0xFF], atol=1)


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_bayer_image_has_the_colour_it_shows(pattern):
    mosaic = np.zeros((16, 16), np.uint8)
    for place, channel in enumerate(pattern):
        mosaic[place // 2 :: 2, place % 2 :: 2] = (180, 90, 30)["rgb".index(channel)]
    np.testing.assert_array_equal(
        frame_from_message(image(mosaic, f"bayer_{pattern}8"), "front", FRONT).image[8, 8], (180, 90, 30)
    )


@pytest.mark.parametrize(("encoding", "pair"), [("yuv422", [90, 81, 240, 81]), ("yuv422_yuy2", [81, 90, 81, 240])])
def test_a_yuv_image_has_the_colour_it_shows(encoding, pair):
    pixels = np.array(pair * 8, np.uint8).reshape(4, 4, 2)
    np.testing.assert_allclose(frame_from_message(image(pixels, encoding), "front", FRONT).image[1, 1], (255, 0, 0), atol=3)


@pytest.mark.parametrize(("encoding", "dtype"), [("16UC1", "<u2"), ("32FC1", "<f4")])
def test_a_depth_image_is_stretched(encoding, dtype):
    frame = frame_from_message(image(np.array([[1, 2, 3]], dtype), encoding), "front", FRONT)
    np.testing.assert_array_equal(frame.image[0, :, 0], [0, 127, 255])


def test_a_compressed_image_becomes_the_same_frame():
    file = cv2.imencode(".png", PICTURE[..., ::-1])[1].tobytes()
    frame = frame_from_message(CompressedImage(header=HEADER, format="rgb8; png compressed bgr8", data=file), "front", FRONT)
    np.testing.assert_array_equal(frame.image, PICTURE)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(("height", "padding"), [(1, 0), (3, 0), (3, 7)])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_a_cloud_becomes_the_scan_of_its_source_in_the_axes_of_the_rig(kind, height, padding, big_endian):
    sent = points(12, kind)
    message = cloud(sent | {"ring": np.arange(12, dtype="u2")}, height, padding, big_endian)
    scan = frame_from_message(message, "lidar", LidarMount(axes=("+y", "-x", "+z")))
    assert (scan.stamp, scan.source) == (STAMP, "lidar")
    np.testing.assert_allclose(scan.points, np.stack([sent["y"], -sent["x"], sent["z"], sent["intensity"]], 1), rtol=1e-6)


def test_a_cloud_without_points_or_intensity_is_a_scan_all_the_same():
    empty = PointCloud2(header=HEADER, height=1, fields=cloud(points(1)).fields, point_step=16)
    assert frame_from_message(empty, "lidar", LidarMount()).points.shape == (0, 4)
    sent = points(3)
    del sent["intensity"]
    assert frame_from_message(cloud(sent), "lidar", LidarMount()).points[:, 3].tolist() == [0, 0, 0]


def test_points_that_are_not_returns_are_dropped():
    sent = points(4)
    sent["x"][1], sent["y"][2] = np.nan, np.inf
    assert len(frame_from_message(cloud(sent), "lidar", LidarMount()).points) == 2


@given(data=st.binary(max_size=40), height=st.integers(0, 4), width=st.integers(0, 4), step=st.integers(0, 20))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_message_of_rubbish_is_a_frame_or_bad_input(data, height, width, step):
    messages = [
        *(
            Image(header=HEADER, height=height, width=width, step=step, encoding=e, data=data)
            for e in ("rgb8", "mono16", "yuv422", "?")
        ),
        CompressedImage(header=HEADER, format="jpeg", data=data),
        PointCloud2(
            header=HEADER,
            height=height,
            width=width,
            point_step=step,
            row_step=step * width,
            fields=cloud(points(1)).fields,
            data=data,
        ),
    ]
    for message in messages:
        try:
            frame_from_message(message, "x", LidarMount())
        except BadInput as error:
            assert "\n" not in str(error)


def test_a_stamp_that_was_never_set_is_refused():
    message = image(PICTURE, "rgb8")
    message.header = Header(frame_id="lazy_camera")
    with pytest.raises(BadInput, match="the driver of 'lazy_camera' does not set it"):
        frame_from_message(message, "front", FRONT)


def imu(force=(0.0, 0.0, 9.81), rate=(0.1, 0.2, 0.3)) -> Imu:
    message = Imu(header=HEADER)
    message.linear_acceleration.x, message.linear_acceleration.y, message.linear_acceleration.z = force
    message.angular_velocity.x, message.angular_velocity.y, message.angular_velocity.z = rate
    return message


def test_an_imu_sample_turns_into_the_axes_of_the_rig_and_gets_its_gravity_back():
    stamp, sample = imu_from_message(imu((1.0, 2.0, 3.0)), ImuMount(axes=("+x", "-y", "-z"), gravity_removed=True))
    assert stamp == STAMP
    np.testing.assert_allclose(sample, [1.0, -2.0, -3.0 + 9.80665, 0.1, -0.2, -0.3], rtol=1e-6)


def test_an_imu_without_orientation_is_fine_and_one_without_rates_is_refused():
    message = imu()
    message.orientation_covariance[0] = -1.0
    assert imu_from_message(message, ImuMount())[1][2] == pytest.approx(9.81)
    message.angular_velocity_covariance[0] = -1.0
    with pytest.raises(BadInput, match="does not report its angular velocity"):
        imu_from_message(message, ImuMount())


@pytest.mark.parametrize("value", [float("inf"), -1e300])
def test_an_imu_sample_beyond_the_range_of_any_sensor_is_refused(value):
    with pytest.raises(BadInput, match="beyond the range"):
        imu_from_message(imu(rate=(value, 0.0, 0.0)), ImuMount())


def test_an_imu_may_leave_out_its_roll_rate_and_not_its_yaw_rate():
    assert (
        np.isnan(imu_from_message(imu(rate=(float("nan"), 0.0, 0.0)), ImuMount())[1]).tolist()
        == [False] * 3 + [True] + [False] * 2
    )
    with pytest.raises(BadInput, match="does not report its yaw rate"):
        imu_from_message(imu(rate=(0.0, 0.0, float("nan"))), ImuMount())


def over_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


def test_tokens_keep_every_number_and_the_header_of_the_sensor():
    values, places = np.random.default_rng(2).normal(size=(5, 7)), np.arange(15.0).reshape(5, 3)
    tokens = Tokens("camera", "front", STAMP, values.astype(np.float32), places.astype(np.float32), "abc123")
    message = over_the_wire(tokens_to_message(tokens, "camera_front_optical"))
    assert message.header.frame_id == "camera_front_optical"
    back = tokens_from_message(message)
    assert (back.modality, back.source, back.stamp, back.encoder) == ("camera", "front", STAMP, "abc123")
    np.testing.assert_array_equal(back.values, tokens.values)
    np.testing.assert_array_equal(back.places, tokens.places)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("count", 4, "4x7"),
        ("width", 10**9, "hold 35 values"),
        ("values", [float("nan")] * 35, "not finite"),
        ("header", Header(), "stamp"),
    ],
)
def test_tokens_that_contradict_themselves_are_refused(field, value, message):
    tokens = Tokens("camera", "front", STAMP, np.zeros((5, 7), np.float32), np.zeros((5, 3), np.float32), "abc123")
    sent = tokens_to_message(tokens)
    setattr(sent, field, value)
    with pytest.raises(BadInput, match=message):
        tokens_from_message(sent)


def test_health_comes_back_as_it_was():
    health = Health("lidar", "lidar", STAMP, 10.0, 0.05, 0.001, 3, {"points": 20000.0, "reach": 40.5}, False, "frozen")
    assert health_from_message(over_the_wire(health_to_message(health, "velodyne"))) == health


def test_a_plan_comes_back_as_it_was():
    plan = Plan(STAMP, {"camera": False, "lidar": True}, {"camera": "dark", "lidar": "healthy"}, "night", 4, 0.2, 0.5)
    assert plan_from_message(over_the_wire(plan_to_message(plan))) == plan


def test_an_answer_comes_back_as_it_was_with_the_frames_of_its_evidence():
    evidence = (Evidence("camera", "front", STAMP, 0.25),)
    answer = Answer(STAMP, "7", "Any cars?", "yes", 0.75, evidence, {"imu": "silent"}, 0.125, "drive_tiny", "0123abcd")
    message = over_the_wire(answer_to_message(answer, {("camera", "front"): "camera_front_optical"}))
    assert message.evidence[0].header.frame_id == "camera_front_optical"
    assert answer_from_message(message) == answer


def test_lists_that_belong_together_must_be_as_long():
    message = plan_to_message(Plan(STAMP, {"camera": True}, {"camera": "healthy"}, "day", 4))
    message.reasons = []
    with pytest.raises(BadInput, match="1, 1, 0 entries"):
        plan_from_message(message)


def test_a_library_that_fails_at_first_use_is_not_used_again_and_we_convert(monkeypatch):
    calls = []

    def broken(message):
        calls.append(message)
        raise AttributeError("_ARRAY_API not found")

    monkeypatch.setattr(message_conversion, "_unusable", set())
    monkeypatch.setattr(message_conversion, "_by_cv_bridge", broken)
    for _ in range(2):
        np.testing.assert_array_equal(frame_from_message(image(PICTURE, "rgb8"), "front", FRONT).image, PICTURE)
    assert len(calls) == 1


def test_a_library_that_is_not_installed_is_not_used_and_we_convert(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    monkeypatch.setattr(message_conversion, "_unusable", set())
    message_conversion._bridge.cache_clear()
    np.testing.assert_array_equal(frame_from_message(image(PICTURE, "rgb8"), "front", FRONT).image, PICTURE)
    assert message_conversion._unusable == {"cv_bridge"}


def test_sources_and_reasons_are_bounded_whoever_publishes():
    sources, rejections = KnownSources(), Rejections()
    for number in range(1000):
        try:
            sources.check("sonar", f"front {number}")
        except BadInput as error:
            rejections.add(error)
    sources.check("sonar", "front 0")
    assert rejections.total == 1000 - MOST_SOURCES
    assert rejections.values() == {
        "rejected": 936, "last rejection": "sonar 'front 999' is one source too many, 64 are known",
        "rejected: sonar # is one source too many, # are known": 936,
    }  # fmt: skip
    for number in range(1000):
        rejections.add(f"{'x' * number} is wrong")
    counts = [value for key, value in rejections.values().items() if key.startswith("rejected: ")]
    assert len(counts) == MOST_REASONS + 1 and sum(counts) == 1936


@pytest.mark.parametrize(("modality", "source"), [("Camera", "front"), ("camera", ""), ("camera", "a\nb"), ("camera", "x" * 65)])
def test_a_source_without_a_plain_name_is_refused(modality, source):
    with pytest.raises(BadInput, match="not a plain name"):
        KnownSources().check(modality, source)
