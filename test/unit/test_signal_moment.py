# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated moments of all kinds of signal: layouts, splits, geometry of sound, echoes and depth, and true answers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from mmllm_ros.context.asked_signals import asked_signals, with_similar
from mmllm_ros.context.question_classifier import classify_question
from mmllm_ros.datatypes import BadInput, Signal
from mmllm_ros.encoders.universal.encoder import LAYOUTS
from mmllm_ros.io.serialization import Serializer
from mmllm_ros.rig import CameraMount, Rig, SignalMount, load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.questions.signal_questions import KINDS, ask_signals, captions, wordings
from mmllm_ros.simulator.sensors.depth import DepthCamera
from mmllm_ros.simulator.sensors.microphones import RATE, SAMPLES, microphones, record
from mmllm_ros.simulator.sensors.signal_faults import with_fault
from mmllm_ros.simulator.sensors.ultrasonic import BIN, UltrasonicArray
from mmllm_ros.simulator.signal_moment import SIGNALS, SignalMoment, render_moment
from mmllm_ros.simulator.signal_sensors import SignalSensors, with_cameras
from mmllm_ros.simulator.truth import Weather
from mmllm_ros.simulator.world.props import FRONT, REAR, Prop
from mmllm_ros.simulator.world.ray_scene import RayScene
from mmllm_ros.simulator.world.sounds import MIDDLE, SoundSource
from mmllm_ros.simulator.world.town import ground

ORIGIN = (0.0, 0.0, 0.0)
OLD_DRIVE = [128.115, 29407, 1.13124, 17, -16.871, -6.85965, 0.979887]
"""Mean of image, number of lidar points, mean of IMU, number of objects, place of the first: seed 7 after 2.5 s."""
CAMERA = CameraMount("front", "camera", 0.0, math.radians(70))


@pytest.fixture(scope="module")
def moment() -> SignalMoment:
    return render_moment("test", 3)


def around(*props: Prop) -> RayScene:
    """Nothing but flat ground and these props."""
    return RayScene(ground(0.0, 0.0), [prop.placed(ORIGIN) for prop in props])


def siren(x: float, y: float, vx: float = 0.0) -> SoundSource:
    return SoundSource(1, "siren", 0.1, (x, y, 1.0), (vx, 0.0), 105.0, 0.0)


def heard(*sources: SoundSource) -> np.ndarray:
    return record(sources, microphones(), Weather(), 0.0, np.random.default_rng(1)).wave


def test_every_signal_has_the_layout_that_the_universal_encoder_reads(moment):
    assert tuple(moment.signals) == SIGNALS == tuple(LAYOUTS[name].kind for name in SIGNALS)
    for name, data in moment.signals.items():
        assert np.isfinite(LAYOUTS[name].to_tensor(Signal(name, 1, "simulated", data)).numpy()).all()
    assert np.array_equal(moment.signals["video"][-1], moment.signals["image"])
    assert set(captions(moment.truth)) == set(SIGNALS)


def test_a_scene_gives_the_same_bytes_and_another_split_another_scene(moment):
    again, other = render_moment("test", 3), render_moment("val", 3)
    assert all(np.array_equal(moment.signals[name], again.signals[name]) for name in SIGNALS)
    assert again.questions == moment.questions
    assert not any(np.array_equal(moment.signals[name], other.signals[name]) for name in SIGNALS)


def test_drives_of_old_seeds_look_as_those_that_the_shipped_weights_were_trained_on():
    # Computed before these signals were added; another CPU may round the last digits differently.
    drive = Drive(7, load_rig("front"))
    drive.advance(2.5)
    snapshot = drive.capture()
    found = [snapshot.cameras[0].image.mean(), len(snapshot.lidar.points), snapshot.imu.samples.mean()]
    found += [len(snapshot.truth.objects), *snapshot.truth.objects[0].position]
    assert found == pytest.approx(OLD_DRIVE, rel=1e-4)


def test_a_sound_is_louder_and_earlier_at_the_microphone_that_is_nearer():
    wave = heard(siren(MIDDLE, 8.0))  # on the left; microphones 0 and 2 are on the left side
    level = np.sqrt((wave**2).mean(1))
    assert min(level[0], level[2]) > 2 * max(level[1], level[3])
    # 0.8 m and -0.8 m: the path to the right is about 1.6 m longer, 4.6 ms or 73 samples.
    lags = np.arange(-120, 121)
    match = [float(wave[0, 200:-200] @ np.roll(wave[1], -lag)[200:-200]) for lag in lags]
    assert lags[int(np.argmax(match))] == pytest.approx(73, abs=4)


def test_an_approaching_siren_gets_louder_and_sounds_higher():
    tone = dataclasses.replace(siren(40.0, 0.0), kind="reversing beeper", variant=0.5)  # 1200 Hz

    def pitch(speed: float) -> float:
        wave = heard(dataclasses.replace(tone, velocity=(speed, 0.0)))[0]
        return float(np.argmax(np.abs(np.fft.rfft(wave * np.hanning(SAMPLES)))) * RATE / SAMPLES)

    # Doppler: f (1 + v / c) for a source that comes closer with v, within a frequency step of 0.5 Hz.
    assert pitch(-15.0) == pytest.approx(1200 * (1 + 15 / 343), rel=0.004)
    assert pitch(15.0) == pytest.approx(1200 * (1 - 15 / 343), rel=0.004)
    wave = heard(siren(20.0, 0.0, -10.0))[0]
    assert np.std(wave[-RATE // 2 :]) > 1.5 * np.std(wave[: RATE // 2])  # from 41 m to 20 m


def test_an_ultrasonic_echo_comes_from_the_distance_of_the_wall():
    array = UltrasonicArray()
    echoes = array.capture(around(Prop("wall", REAR - 2.0, 0.0, math.pi)), ORIGIN, Weather(), 0.0, np.random.default_rng(0))
    assert echoes.nearest[[1, 2]] == pytest.approx(2.0, abs=0.05) and np.isinf(echoes.nearest[4:]).all()
    assert np.argmax(echoes.traces[1]) * BIN == pytest.approx(2.0, abs=2 * BIN)
    assert echoes.traces[4:].max() < 0.5 * echoes.traces[1].max()


def test_depth_and_normals_are_those_of_the_wall_and_of_the_ramp():
    camera, rng = DepthCamera(CAMERA, (48, 80)), np.random.default_rng(0)
    wall = camera.capture(around(Prop("wall", FRONT + 6.0, 0.0)), ORIGIN, Weather(), rng)
    # The camera is at x = 1.5.
    assert wall.exact[24, 40] == pytest.approx(FRONT + 6.0 - 1.5, abs=0.01)
    assert wall.depth[24, 40] == pytest.approx(wall.exact[24, 40], abs=0.5)
    assert wall.facing[24, 40] == pytest.approx([-1, 0, 0], abs=1e-3)
    sloped = camera.capture(around(Prop("ramp", FRONT + 2.0, 0.0, 0.0, math.radians(10))), ORIGIN, Weather(), rng)
    slope = math.radians(10)
    assert sloped.facing[26, 40] == pytest.approx([-math.sin(slope), 0, math.cos(slope)], abs=1e-3)
    fog = camera.capture(around(Prop("wall", FRONT + 30.0, 0.0)), ORIGIN, Weather(fog=1.0), rng)
    assert fog.depth[24, 40] == 0.0 and not fog.normals[24, 40].any()


def test_answers_follow_the_truth(moment):
    def answer(kind: str, **facts) -> str | None:
        return KINDS[kind].answer(dataclasses.replace(moment.truth, **facts))

    left = {"sounds": (siren(MIDDLE, 20.0),), "clearness": (5.0,)}
    assert (answer("siren", **left), answer("siren_side", **left)) == ("yes", "left")
    assert answer("siren", sounds=(), clearness=()) == "no"
    assert answer("siren", sounds=(siren(9, 0),), clearness=(-15.0,)) is None  # it might be heard
    coming, going = ({"sounds": (siren(20, 0, speed),), "clearness": (5.0,)} for speed in (-5.0, 5.0))
    assert (answer("siren_closer", **coming), answer("siren_closer", **going)) == ("coming closer", "going away")
    assert answer("siren_where", sounds=(siren(-20, 1), siren(20, 1)), clearness=(3.0, 3.0)) is None  # two of them
    sides = {"ahead": 5.0, "behind": 1.2, "left": math.inf, "right": 3.0}
    assert [answer(kind, clearance=sides) for kind in ("behind_near", "left_near", "nearest_side")] == ["yes", "no", "behind"]
    assert answer("behind_distance", clearance={**sides, "behind": 1.99}) is None  # too near to the border of two bands
    assert [answer("slope", slope=slope) for slope in (0.0, 0.1)] == ["level", "rising"]
    facing = [(-1.0, 0.0, 0.0), (-0.7, 0.7, 0.0), (-0.7, -0.7, 0.0), (-0.1, 0.0, 0.99), None]
    assert [answer("facing", facing=normal) for normal in facing] == ["towards me", "to the left", "to the right", "up", None]


def test_held_out_wordings_are_asked_in_half_of_the_test_questions_only(moment):
    assert set(wordings()) == set(KINDS)
    for kind, table in wordings().items():
        assert len(table["known"]) >= 3 and not set(table["known"]) & set(table["held_out"]), kind
    rng = np.random.default_rng(0)
    asked = {split: [q for _ in range(40) for q in ask_signals(moment.truth, rng, split)] for split in ("train", "test")}
    share = {split: np.mean([q.details["wording"] == "held out" for q in found]) for split, found in asked.items()}
    assert share["train"] == 0.0 and share["test"] == pytest.approx(0.5, abs=0.1)
    assert all(q.question in wordings()[q.program]["known"] for q in asked["train"])


def test_every_wording_is_understood_as_a_question_to_its_signal():
    for kind, table in wordings().items():
        for wording in (*table["known"], *table["held_out"]):
            able = asked_signals(wording) or with_similar(classify_question(wording).modalities)
            assert not able or set(able) & set(KINDS[kind].needs), (kind, wording, able)
    for about_the_robot in (
        "Is the microphone working?",
        "What can you do?",
        "Why do you not use the lidar?",
        "Is the camera ok?",
    ):
        assert asked_signals(about_the_robot) == ()


def test_an_unknown_fault_or_scene_is_refused(moment):
    with pytest.raises(BadInput, match="fault 'rust' of audio"):
        with_fault("audio", moment.signals["audio"], "rust", np.random.default_rng(0))
    with pytest.raises(BadInput, match="split 'exam'"):
        render_moment("exam", 0)


def test_a_drive_sends_the_signals_of_a_rig_and_pieces_of_sound_that_follow_each_other():
    rig = with_cameras(load_rig("signals"))
    drive, sensors = Drive(11, rig, "rain"), SignalSensors(rig)
    sent = []
    for _ in range(3):
        drive.advance(0.4)
        ray_scene = drive.ray_scene()
        sent += sensors.capture(drive, drive.capture(ray_scene), ray_scene)
    # One topic carries depth, from which normals are computed; 0.4 s are 6400 samples.
    assert [signal.data.shape for signal in sent[-3:]] == [(1, 96, 160), (4, 6400), (8, 128)]
    sound = np.concatenate([signal.data for signal in sent if signal.kind == "audio"], axis=1)
    steps = np.abs(np.diff(sound, axis=1))
    assert steps[:, [6399, 12_799]].mean() < 4 * steps.mean()  # no click where two pieces meet
    messages = [message for signal in sent[-3:] for message in Serializer(rig).messages(signal)]
    assert [message.topic for message in messages] == ["camera/front/depth", "audio", "ultrasonic"]
    with pytest.raises(BadInput, match="the simulated array has 8 channels, not 3"):
        SignalSensors(Rig("odd", (), signals=(SignalMount("bumper", "array", "array", "echoes", channels=3),)))
