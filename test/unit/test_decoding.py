# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every layout of a driver decodes to the same image and the same points; invalid input raises BadInput."""

from __future__ import annotations

from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmllm_ros.datatypes import BadInput
from mmllm_ros.io.decoding import ENCODINGS, Field, decode_cloud, decode_compressed, decode_image, gather_points

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
POINT_FORMATS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}


def padded(rows: np.ndarray, padding: int) -> tuple[bytes, int]:
    """Bytes of an array [h, ...] whose rows end with `padding` random bytes, and the step."""
    flat = np.frombuffer(rows.tobytes(), np.uint8).reshape(len(rows), -1)
    return np.pad(flat, ((0, 0), (0, padding)), constant_values=0xAA).tobytes(), flat.shape[1] + padding


@given(
    order=st.sampled_from(["rgb", "bgr", "rgba", "bgra"]),
    bits=st.sampled_from([8, 16]),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    padding=st.integers(0, 7),
    big_endian=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_channel_order_depth_padding_and_byte_order_gives_the_same_picture(
    order, bits, height, width, padding, big_endian, seed
):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    channels = np.stack([picture[..., "rgb".index(c)] if c != "a" else np.full((height, width), 77, np.uint8) for c in order], -1)
    if bits == 16:
        channels = (channels.astype(np.uint16) * 257).astype(">u2" if big_endian else "<u2")
    data, step = padded(channels, padding)
    np.testing.assert_array_equal(decode_image(data, height, width, f"{order}{bits}", step, big_endian), picture)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("colour", [RED, GREEN, BLUE])
def test_a_bayer_pattern_is_named_after_its_first_row(pattern, colour, bits):
    mosaic = np.zeros((16, 16), np.uint8)
    for place, channel in enumerate(pattern):
        mosaic[place // 2 :: 2, place % 2 :: 2] = colour["rgb".index(channel)]
    data = mosaic if bits == 8 else (mosaic.astype(np.uint16) << 8)
    image = decode_image(data.tobytes(), 16, 16, f"bayer_{pattern}{bits}", 16 * bits // 8)
    np.testing.assert_array_equal(image[8, 8], colour)


@pytest.mark.parametrize(("encoding", "luma_first"), [("yuv422", False), ("uyvy", False), ("yuv422_yuy2", True), ("yuyv", True)])
@pytest.mark.parametrize(
    ("yuv", "rgb"), [((81, 90, 240), (255, 0, 0)), ((145, 54, 34), (0, 255, 0)), ((41, 240, 110), (0, 0, 255))]
)
def test_yuv422_keeps_its_colours(encoding, luma_first, yuv, rgb):
    luma, u, v = yuv  # ITU-R BT.601, studio range
    pair = [luma, u, luma, v] if luma_first else [u, luma, v, luma]
    image = decode_image(bytes(pair * 8), 4, 4, encoding, 8)
    np.testing.assert_allclose(image[2, 2].astype(int), rgb, atol=3)


def test_mono16_is_bright_where_its_upper_byte_is():
    image = decode_image(np.array([[0, 0x80FF, 0xFFFF]], ">u2").tobytes(), 1, 3, "mono16", 6, big_endian=True)
    np.testing.assert_array_equal(image[0, :, 0], [0, 0x80, 0xFF])


@pytest.mark.parametrize(("encoding", "dtype"), [("16UC1", "<u2"), ("32FC1", "<f4")])
def test_a_depth_image_is_scaled_from_its_smallest_to_its_largest_value(encoding, dtype):
    depth = np.array([[1000, 2000, 3000]], dtype)
    image = decode_image(depth.tobytes(), 1, 3, encoding, depth.nbytes)
    np.testing.assert_array_equal(image[0, :, 0], [0, 127, 255])


def test_a_depth_image_may_hold_nan_and_infinity():
    depth = np.array([[np.nan, 1.0, 3.0, np.inf]], "<f4")
    np.testing.assert_array_equal(decode_image(depth.tobytes(), 1, 4, "32FC1", 16)[0, :, 0], [0, 0, 255, 0])
    np.testing.assert_array_equal(decode_image(np.full(4, np.nan, "<f4").tobytes(), 1, 4, "32FC1", 16), 0)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".jpg", 6)])
def test_a_compressed_image_decodes_to_rgb(suffix, tolerance):
    picture = np.zeros((24, 32, 3), np.uint8)
    picture[:] = (200, 100, 20)
    file = cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()
    image = decode_compressed(file, "rgb8; jpeg compressed bgr8")
    assert image.shape == (24, 32, 3)
    np.testing.assert_allclose(image.astype(int), picture, atol=tolerance)


def test_a_small_png_with_a_huge_size_is_refused_before_memory_is_allocated():
    file = bytearray(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    file[16:24] = (30000).to_bytes(4, "big") * 2
    with pytest.raises(BadInput, match="30000x30000"):
        decode_compressed(bytes(file), "png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoding": "h264"}, "'h264'"),
        ({"height": 0}, "4x0"),
        ({"width": 10**9, "step": 3 * 10**9}, "1000000000x4"),
        ({"step": 11}, "step is 11"),
        ({"data": bytes(47)}, "47 bytes"),
        ({"data": b""}, "0 bytes"),
        ({"encoding": "yuv422", "width": 3}, "3x4"),
    ],
)
def test_a_wrong_image_is_refused_with_one_line_that_names_the_value(change, message):
    arguments = {"data": bytes(48), "height": 4, "width": 4, "encoding": "rgb8", "step": 12} | change
    with pytest.raises(BadInput, match=message) as refusal:
        decode_image(**arguments)
    assert "\n" not in str(refusal.value)


@given(
    data=st.binary(max_size=64),
    height=st.integers(-1, 9),
    width=st.integers(-1, 9),
    encoding=st.sampled_from([*ENCODINGS, "", "rgb", "8UC7"]),
    step=st.integers(0, 40),
    big_endian=st.booleans(),
)
@settings(max_examples=300)
def test_a_random_image_decodes_or_is_bad_input(data, height, width, encoding, step, big_endian):
    try:
        image = decode_image(data, height, width, encoding, step, big_endian)
    except BadInput:
        return
    assert image.shape == (height, width, 3) and image.dtype == np.uint8


@given(data=st.binary(max_size=200), cut=st.integers(0, 200), flip=st.integers(0, 199), suffix=st.sampled_from([".png", ".jpg"]))
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_decodes_or_is_bad_input(data, cut, flip, suffix):
    file = bytearray(cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    file[flip % len(file)] ^= 0x55
    for content in (data, bytes(file[:cut]), bytes(file)):
        with suppress(BadInput):
            assert decode_compressed(content).ndim == 3


def packed(columns: dict[str, tuple[int, np.ndarray]], order, gap, padding, height, width, big_endian):
    """The buffer of a cloud whose fields lie in `order`, each after `gap` bytes, rows ending with `padding` bytes."""
    offset, fields, spec = 0, [], {"names": [], "formats": [], "offsets": []}
    for name in order:
        datatype = columns[name][0]
        offset += gap
        fields.append(Field(name, offset, datatype))
        dtype = np.dtype(POINT_FORMATS[datatype]).newbyteorder(">" if big_endian else "<")
        for key, value in zip(spec, (name, dtype, offset), strict=True):
            spec[key].append(value)
        offset += dtype.itemsize
    points = np.zeros((height, width), np.dtype({**spec, "itemsize": offset + gap}))
    for name in order:
        points[name] = columns[name][1].reshape(height, width)
    data, row_step = padded(points, padding)
    layout = {"fields": fields, "point_step": offset + gap, "row_step": row_step, "height": height, "width": width}
    return {"data": data, "big_endian": big_endian, **layout}


@given(
    order=st.permutations(["x", "y", "z", "intensity", "ring"]),
    kind=st.sampled_from([7, 8]),
    gap=st.integers(0, 5),
    padding=st.integers(0, 9),
    height=st.integers(1, 4),
    width=st.integers(1, 6),
    big_endian=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_field_order_offset_type_padding_and_byte_order_gives_the_same_points(
    order, kind, gap, padding, height, width, big_endian, seed
):
    rng = np.random.default_rng(seed)
    points = rng.uniform(1.0, 80.0, (height * width, 4)).astype(np.float32)
    points[:, 3] /= 80.0
    columns = {name: (kind, points[:, i]) for i, name in enumerate(["x", "y", "z", "intensity"])}
    columns["ring"] = (4, rng.integers(0, 32, height * width))
    cloud = packed(columns, order, gap, padding, height, width, big_endian)
    np.testing.assert_allclose(decode_cloud(**cloud), points, rtol=1e-6)


def cloud_of(points, **intensity) -> dict:
    points = np.asarray(points, np.float32).reshape(-1, 3)
    columns = {name: (7, points[:, i]) for i, name in enumerate("xyz")} | intensity
    return packed(columns, list(columns), 0, 0, 1, len(points), False)


def test_points_that_are_not_returns_are_dropped():
    points = [[1, 2, 3], [np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf], [0, 0, 0], [2e4, 0, 0], [-4, 5, 6]]
    np.testing.assert_array_equal(decode_cloud(**cloud_of(points))[:, :3], [[1, 2, 3], [-4, 5, 6]])


def test_a_coordinate_too_large_for_float32_is_dropped():
    columns = {name: (8, np.array([1e300, 1.0])) for name in "xyz"}
    assert len(decode_cloud(**packed(columns, "xyz", 0, 0, 1, 2, False))) == 1


@pytest.mark.parametrize(
    ("datatype", "sent", "expected"),
    [
        (7, [0.0, 0.5, 1.0], [0.0, 0.5, 1.0]),  # already a fraction
        (7, [0.0, 51.0, 255.0], [0.0, 0.2, 1.0]),  # a byte sent as float
        (7, [np.nan, 51.0, 4000.0], [0.0, 0.2, 1.0]),
        (2, [0, 1, 255], [0.0, 1 / 255, 1.0]),  # an integer is never a fraction
        (4, [0, 51, 60000], [0.0, 0.2, 1.0]),
    ],
)
def test_intensity_is_scaled_to_zero_to_one(datatype, sent, expected):
    cloud = cloud_of([[1, 2, 3]] * 3, intensity=(datatype, np.array(sent)))
    np.testing.assert_allclose(decode_cloud(**cloud)[:, 3], expected, rtol=1e-6)


def test_a_cloud_without_intensity_has_zero_intensity():
    assert decode_cloud(**cloud_of([[1, 2, 3]]))[0, 3] == 0.0


def test_a_cloud_without_points_is_valid():
    assert decode_cloud(b"", [], 0, 0, 1, 0).shape == (0, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 10**9}, "1000000000x1"),
        ({"width": 5}, "take 60"),
        ({"fields": [Field("x", 0, 7)]}, "no field y"),
        ({"fields": [Field("x", 0, 7), Field("y", 4, 7), Field("z", 9, 7)]}, "field z at byte 9"),
        ({"fields": [Field("x", 0, 7), Field("y", 4, 9), Field("z", 8, 7)]}, "datatype 9"),
        ({"height": 2, "row_step": 3}, "row_step is 3"),
    ],
)
def test_a_wrong_cloud_is_refused_with_one_line_that_names_the_value(change, message):
    with pytest.raises(BadInput, match=message):
        decode_cloud(**cloud_of([[1, 2, 3]] * 4) | change)


@given(
    data=st.binary(max_size=64),
    fields=st.lists(
        st.builds(Field, st.sampled_from(["x", "y", "z", "intensity"]), st.integers(0, 12), st.integers(0, 9)), max_size=5
    ),
    point_step=st.integers(0, 20),
    row_step=st.integers(0, 40),
    height=st.integers(-1, 4),
    width=st.integers(-1, 4),
    big_endian=st.booleans(),
)
@settings(max_examples=300)
def test_a_random_cloud_decodes_or_is_bad_input(data, fields, point_step, row_step, height, width, big_endian):
    try:
        points = decode_cloud(data, fields, point_step, row_step, height, width, big_endian)
    except BadInput:
        return
    assert points.shape[1:] == (4,) and points.dtype == np.float32 and np.isfinite(points).all()


def test_intensities_of_any_range_keep_their_differences():
    xyz = [np.arange(1.0, 101.0)] * 3
    counts = gather_points(xyz, np.linspace(0, 65535, 100).astype(np.uint16))[:, 3]
    assert counts[0] == 0.0 and counts[-1] == 1.0 and counts[50] == pytest.approx(0.5, abs=0.02)
    assert gather_points(xyz, np.full(100, 51, np.uint8))[0, 3] == pytest.approx(0.2)
