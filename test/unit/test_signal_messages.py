# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages -> signals: depth, normals, sound and arrays; bad input is refused with the value."""

from __future__ import annotations

import math
import wave
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from tiny_model import make_tiny_model
from tiny_universal_model import make_tiny_universal_model

from mmllm_ros.config import LlmConfig
from mmllm_ros.datatypes import NANOSECONDS, BadInput
from mmllm_ros.io.depth_images import decode_depth, decode_normals, normals_from_depth
from mmllm_ros.io.rosbag import Recording
from mmllm_ros.io.signals import CLIP_PERIOD, SignalStream, signal_from_message
from mmllm_ros.io.sound import RATE, WINDOW, SoundBuffer, decode_pcm, encode_pcm, read_wav, resampled
from mmllm_ros.io.wav_recording import WavRecording
from mmllm_ros.offline_replay import answer_recording
from mmllm_ros.rig import SignalMount, load_rig

rng = np.random.default_rng(0)


def stamped(seconds: float, **fields) -> SimpleNamespace:
    whole, part = divmod(round(seconds * NANOSECONDS), NANOSECONDS)
    return SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(sec=whole, nanosec=part), frame_id="x"), **fields)


def test_depth_in_millimetres_and_in_metres_becomes_metres_with_zero_for_no_reading():
    millimetres = np.array([[0, 1500], [65535, 20]], np.uint16)
    assert decode_depth(millimetres.tobytes(), 2, 2, "16UC1", 4) == pytest.approx(np.array([[0, 1.5], [65.535, 0.02]]))
    metres = np.array([[np.nan, 1.5], [np.inf, -1.0]], ">f4")
    assert decode_depth(metres.tobytes(), 2, 2, "32FC1", 8, big_endian=True).tolist() == [[0, 1.5], [0, 0]]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((bytes(8), 2, 2, "rgb8", 4), "encoding 'rgb8' is not one of 16UC1"),
        ((bytes(6), 2, 2, "16UC1", 4), "data is 6 bytes"),
        ((bytes(8), 2, 2, "16UC1", 3), "step is 3 bytes"),
        ((bytes(8), 0, 2, "16UC1", 4), "2x0 pixels"),
    ],
)
def test_a_depth_image_that_contradicts_itself_is_refused(arguments, reason):
    with pytest.raises(BadInput, match=reason):
        decode_depth(*arguments)


def test_normals_of_a_wall_and_of_the_ground_come_from_their_depth():
    wall = normals_from_depth(np.full((9, 12), 4.0, np.float32), math.radians(70))
    assert wall[:, 4, 5] == pytest.approx([-1, 0, 0], abs=1e-5) and not wall[:, 0].any()
    # Ground 1.5 m below: a ray that falls by t per metre ahead meets it at 1.5 / t.
    focal = 6 / math.tan(math.radians(35))
    falls = (np.arange(9) + 0.5 - 4.5) / focal
    with np.errstate(divide="ignore"):
        rows = np.where(falls > 0.1, 1.5 / falls, 0.0)
    ground = normals_from_depth(np.tile(rows[:, None], (1, 12)).astype(np.float32), math.radians(70))
    assert ground[:, 7, 5] == pytest.approx([0, 0, 1], abs=1e-4) and not ground[:, 2, 5].any()


def test_normals_in_the_optical_frame_are_turned_to_forward_left_up():
    towards = np.tile(np.float32([0, -3, -4]), (2, 2, 1))  # up and towards the camera, of length 5
    assert decode_normals(towards.tobytes(), 2, 2, "32FC3", 24)[:, 0, 0] == pytest.approx([-0.8, 0, 0.6])


def test_pcm_of_every_format_is_the_same_sound():
    sound = np.array([[0.5, -0.5], [0.25, 0.0]], np.float32)
    rows = sound.T  # samples of the channels alternate
    bytes_of = {
        "U8": (rows * 128 + 128).astype("u1"),
        "S16LE": (rows * 2**15).astype("<i2"),
        "S16BE": (rows * 2**15).astype(">i2"),
        "S32LE": (rows * 2**31).astype("<i4"),
        "F32LE": rows.astype("<f4"),
    }
    for encoding, samples in bytes_of.items():
        assert decode_pcm(samples.tobytes(), encoding, 2) == pytest.approx(sound), encoding
    with pytest.raises(BadInput, match="'MP3' is not one of U8"):
        decode_pcm(b"", "MP3", 2)


def test_a_tone_keeps_its_pitch_and_level_at_another_rate_and_one_above_the_range_vanishes():
    time = np.arange(48_000) / 48_000
    tone, high = (np.sin(2 * np.pi * frequency * time)[None].astype(np.float32) for frequency in (1000, 12_000))
    same = resampled(tone, 48_000)
    assert same.shape == (1, RATE) and np.argmax(np.abs(np.fft.rfft(same[0]))) == 1000
    assert same.std() == pytest.approx(tone.std(), rel=1e-3) and resampled(high, 48_000).std() < 1e-3


def test_a_buffer_keeps_the_last_seconds_and_starts_anew_after_a_gap():
    buffer, chunk = SoundBuffer(RATE, 1, "S16LE"), encode_pcm(np.full((1, RATE // 10), 0.5))
    assert buffer.window() is None
    for tenth in range(1, 31):
        buffer.push(tenth * NANOSECONDS // 10, chunk)
    stamp, sound = buffer.window()
    assert stamp == 3 * NANOSECONDS and sound.shape == (1, round(WINDOW * RATE))
    buffer.push(5 * NANOSECONDS, chunk)  # 1.9 s are missing
    assert buffer.window() is None  # a tenth of a second is too little


def test_a_wav_file_is_read_and_something_else_refused(tmp_path):
    sound, path = rng.uniform(-0.5, 0.5, (2, 800)), tmp_path / "two.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(encode_pcm(sound))
    read, rate = read_wav(path)
    assert rate == 8000 and read == pytest.approx(sound, abs=1e-4)
    (tmp_path / "no.wav").write_bytes(b"RIFF????")
    with pytest.raises(BadInput, match=r"no.wav is no WAV file"):
        read_wav(tmp_path / "no.wav")


def test_an_array_has_rows_of_equal_length_and_finite_numbers():
    mount = SignalMount("bumper", "array", "array", "echoes", channels=2)
    signal = signal_from_message(SimpleNamespace(data=[1.0, 2, 3, 4]), mount, 7)
    assert signal.data.tolist() == [[1, 2], [3, 4]] and (signal.stamp, signal.kind) == (7, "array")
    for data, reason in ([1.0, 2, 3], "3 numbers"), ([1.0, math.nan], "not finite"), ([], "0 numbers"):
        with pytest.raises(BadInput, match=reason):
            signal_from_message(SimpleNamespace(data=data), mount, 7)


def test_a_clip_has_frames_at_equal_steps_and_repeats_the_oldest_at_the_start():
    stream = SignalStream(SignalMount("front", "video", "video", "image"))
    for number in range(13):  # every 0.1 s; the clip takes every fourth
        pixels = np.full((2, 2, 3), number, np.uint8)
        stream.push(
            stamped(1 + 0.1 * number, data=pixels.tobytes(), height=2, width=2, encoding="rgb8", step=6, is_bigendian=0), 0
        )
        if number == 5:
            assert stream.signal().data[:, 0, 0, 0].tolist() == [0, 0, 0, 4]
    assert CLIP_PERIOD == 400_000_000
    assert stream.signal().data[:, 0, 0, 0].tolist() == [0, 4, 8, 12]


def test_a_recording_gives_the_signals_of_its_topics_and_two_kinds_from_one_topic(tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    kinds = {"/audio": "std_msgs/msg/UInt8MultiArray", "/camera/front/depth": "sensor_msgs/msg/Image"}
    message = {name: store.types[kind] for name, kind in kinds.items()}
    layout = store.types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {name: writer.add_connection(name, kind, typestore=store) for name, kind in kinds.items()}
        for tenth in range(1, 21):
            time = NANOSECONDS + tenth * NANOSECONDS // 10
            data = np.frombuffer(encode_pcm(rng.uniform(-0.5, 0.5, (4, 1600))), np.uint8)
            sound = message["/audio"](layout=layout, data=data)
            writer.write(topics["/audio"], time, store.serialize_cdr(sound, kinds["/audio"]))
            stamp = store.types["builtin_interfaces/msg/Time"](*divmod(time, NANOSECONDS))
            header = store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="depth")
            pixels = np.full(12, 2000, "<u2").view(np.uint8)
            image = message["/camera/front/depth"](header, 3, 4, "16UC1", 0, 8, pixels)
            writer.write(topics["/camera/front/depth"], time, store.serialize_cdr(image, kinds["/camera/front/depth"]))
    recording = Recording(tmp_path / "bag")
    assert recording.fitting_rig() == "signals"
    found = list(recording.frames(load_rig("signals")))
    counts = Counter(signal.modality for signal in found)
    assert counts == {"depth": 20, "normals": 20, "audio": 1}  # sound from two seconds on
    assert found[-1].stamp == 3 * NANOSECONDS and {signal.data.shape[0] for signal in found} == {1, 3, 4}


def test_a_wav_file_answers_questions_with_its_sound_as_evidence(tmp_path):
    with wave.open(str(tmp_path / "street.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(encode_pcm(rng.uniform(-0.5, 0.5, (1, 12_000))))
    tiny = make_tiny_model(tmp_path / "tiny")
    model = make_tiny_universal_model(tmp_path / "model", tiny, ["audio"])
    answers = []
    config = LlmConfig(rig="signals", model=str(model), device="cpu")
    answer_recording(WavRecording(tmp_path / "street.wav"), ["Can you hear a siren?"], config, answers.append)
    assert [item.modality for item in answers[0].answer.evidence] == ["audio"]
    with pytest.raises(BadInput, match="rig front has no signal of kind audio"):
        next(WavRecording(tmp_path / "street.wav").frames(load_rig("front")))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("roof: {kind: smell}", "signals.roof.kind is 'smell', not one of"),
        ("roof: {kind: audio, modality: Audio}", "modality is 'Audio', not a plain lower-case name"),
        ("roof: {kind: audio, modality: camera}", "is of modality camera, which another sensor of the rig has already"),
        ("roof: {kind: audio, rate: 10}", "rate is 10, not a number between 1000"),
        ("a: {kind: audio, modality: x}\n  b: {kind: depth, modality: x}", "a modality has one kind, x has several"),
    ],
)
def test_a_wrong_signal_in_a_rig_is_refused_with_its_place(tmp_path, entry, reason):
    path = tmp_path / "rig.yaml"
    path.write_text(f"signals:\n  {entry}\n")
    with pytest.raises(BadInput, match=reason):
        load_rig(path)


def test_signals_of_a_rig_have_the_modality_of_their_kind_and_the_topic_of_their_name(tmp_path):
    (tmp_path / "rig.yaml").write_text("cameras: {front: {}}\nsignals: {roof: {kind: audio}, near: {kind: depth, fov: 90}}\n")
    rig = load_rig(tmp_path / "rig.yaml")
    assert rig.modalities == ("camera", "audio", "depth")
    roof, near = rig.signals
    assert (roof.topic, roof.rate, roof.fov) == ("roof", 16_000, 2 * math.pi) and near.fov == pytest.approx(math.pi / 2)
