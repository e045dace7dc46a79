# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Signals match their description, check_health names the fault, and a frame costs less than two milliseconds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmllm_ros.context.health_check import check_health
from mmllm_ros.context.health_signals import SIGNALS, camera_signals, imu_signals, lidar_signals, measure
from mmllm_ros.datatypes import NANOSECONDS, ImuWindow, ObjectList, Signal
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.sensors.faults import Fault
from mmllm_ros.simulator.truth import Weather

rng = np.random.default_rng(0)
STREET = cv2.GaussianBlur(rng.integers(0, 256, (376, 672, 3), dtype=np.uint8), (0, 0), 4) * 3  # wraps round: strong edges
UNIVERSAL = {
    "audio": rng.normal(0, 0.1, (2, 16_000)).astype(np.float32),
    "depth": rng.uniform(1, 20, (1, 24, 32)).astype(np.float32),
    "normals": np.ones((3, 24, 32), np.float32),
    "array": rng.uniform(0, 1, (8, 32)).astype(np.float32),
}
"""A good signal of each kind that no other sensor has."""


def imu_window(samples: np.ndarray) -> ImuWindow:
    times = np.linspace(0, NANOSECONDS, len(samples)).astype(np.int64)
    return ImuWindow(int(times[-1]), "imu", times, samples.astype(np.float32))


def standing(count: int = 100) -> np.ndarray:
    return rng.normal([0, 0, 9.81, 0, 0, 0], 0.02, (count, 6))


def sweep(count: int = 5000, low: float = 5.0, high: float = 60.0) -> np.ndarray:
    bearing, distance = rng.uniform(-np.pi, np.pi, count), rng.uniform(low, high, count)
    return np.stack([distance * np.cos(bearing), distance * np.sin(bearing), 0 * bearing, 0 * bearing + 0.5], 1).astype(
        np.float32
    )


def reason_of(signals: dict[str, float], age: float = 0.1, silence: float | None = None) -> str:
    healthy, reason = check_health(signals, age, 1.0, silence)
    assert healthy == (reason == "")
    return reason


def test_every_signal_is_in_the_table_and_every_entry_is_measured():
    frames = [ObjectList(1, "objects", ()), *(Signal(kind, 1, kind, data) for kind, data in UNIVERSAL.items())]
    measured = {**camera_signals(STREET), **lidar_signals(sweep()), **imu_signals(imu_window(standing()))}
    for frame in frames:
        measured |= measure(frame)
    assert set(measured) == set(SIGNALS)


def test_good_sensors_are_healthy():
    assert reason_of(camera_signals(STREET, STREET[::-1])) == ""
    assert reason_of(lidar_signals(sweep(), sweep())) == ""
    assert reason_of(imu_signals(imu_window(standing()))) == ""


def test_good_signals_of_the_universal_encoder_are_healthy_and_their_faults_are_named():
    def reason(kind: str, data: np.ndarray, before: np.ndarray | None = None) -> str:
        previous = None if before is None else Signal(kind, 0, kind, before)
        return reason_of(measure(Signal(kind, 1, kind, data.astype(np.float32)), previous))

    assert [reason(kind, data) for kind, data in UNIVERSAL.items()] == [""] * 4
    sound, time = UNIVERSAL["audio"], np.arange(16_000) / 16_000
    assert reason("audio", 0 * sound).startswith("silent")
    assert "while others hear" in reason("audio", sound * [[1.0], [0.0]])
    assert reason("audio", np.clip(20 * sound, -1, 1)).startswith("clipping")
    assert reason("audio", 0.05 * sound + 0.1 * np.sin(2 * np.pi * 50 * time)).startswith("hum")
    assert reason("audio", 0.05 * sound + 0.1 * np.sin(2 * np.pi * 440 * time)) == ""
    assert reason("depth", UNIVERSAL["depth"] * (rng.random((1, 24, 32)) < 0.05)) == "nine in ten pixels have no depth"
    assert "does not change" in reason("array", UNIVERSAL["array"] * (np.arange(8) != 2)[:, None])
    assert reason("array", UNIVERSAL["array"], UNIVERSAL["array"]).startswith("frozen")


def test_a_grey_picture_has_the_brightness_of_its_pixels():
    signals = camera_signals(np.full((90, 160, 3), 51, np.uint8))
    assert signals["luminance"] == pytest.approx(0.2)
    assert signals["contrast"] == signals["sharpness"] == 0.0


def test_fog_lowers_contrast_and_sharpness_and_raises_haze():
    clear = camera_signals(STREET)
    foggy = camera_signals((STREET * 0.3 + 150).astype(np.uint8))
    assert foggy["contrast"] < 0.5 * clear["contrast"]
    assert foggy["sharpness"] < 0.5 * clear["sharpness"]
    assert foggy["haze"] > clear["haze"] + 0.3


def test_change_is_the_mean_difference_to_the_frame_before():
    assert camera_signals(np.full((90, 160, 3), 102, np.uint8), np.zeros((90, 160, 3), np.uint8))["change"] == pytest.approx(0.4)


def test_a_single_different_pixel_row_is_not_frozen():
    live = STREET.copy()
    live[16] ^= 1
    assert camera_signals(live, STREET)["frozen"] == 0.0
    assert camera_signals(STREET, STREET.copy())["frozen"] == 1.0


def test_a_picture_of_another_size_is_a_new_beginning():
    assert camera_signals(STREET, STREET[:100])["frozen"] == 0.0


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 640, 3), (2000, 3, 3)])
def test_odd_shapes_have_finite_signals(shape):
    assert np.isfinite(list(camera_signals(np.zeros(shape, np.uint8)).values())).all()


def test_a_sweep_is_described_by_reach_nearness_and_coverage():
    half = sweep(4000, 10.0, 20.0)
    half[:, 1] = np.abs(half[:, 1])  # everything to the left: 36 of the 72 sectors
    signals = lidar_signals(half)
    assert signals["points"] == 4000
    assert signals["coverage"] == pytest.approx(0.5, abs=0.02)
    assert 18.0 < signals["reach"] < 20.0 and signals["near"] == 0.0 and signals["intensity"] == pytest.approx(0.5)


def test_imu_signals_are_in_si_units():
    samples = np.tile([0.0, 0.0, 9.81, 0.0, 0.0, 0.3], (100, 1))
    samples[::2, 0], samples[1::2, 0] = 1.0, -1.0
    signals = imu_signals(imu_window(samples))
    assert signals["gravity"] == pytest.approx(9.81, rel=1e-5)
    assert signals["vibration"] == pytest.approx(1.0, rel=1e-5)
    assert signals["turn_rate"] == pytest.approx(0.3, rel=1e-5)
    assert signals["stuck"] == 5


@pytest.mark.parametrize(
    ("signals", "fault"),
    [
        (camera_signals(np.zeros((90, 160, 3), np.uint8)), "black"),
        (camera_signals(np.full((90, 160, 3), 255, np.uint8)), "overexposed"),
        (camera_signals(np.full((90, 160, 3), 120, np.uint8)), "covered"),
        (camera_signals(STREET, STREET.copy()), "frozen"),
        (camera_signals(np.concatenate([STREET[:, :300] * 0, STREET[:, 300:]], 1)), "partly covered"),
        (lidar_signals(np.zeros((0, 4), np.float32)), "fewer than 50 returns"),
        (lidar_signals(sweep(low=0.5, high=1.0)), "closer than 3 m"),
        (imu_signals(imu_window(np.tile([0, 0, 9.81, 0, 0, 0], (100, 1)))), "stuck"),
        (imu_signals(imu_window(standing() - [0, 0, 9.81, 0, 0, 0])), "gravity_removed"),
        (imu_signals(imu_window(np.where(np.arange(100)[:, None] % 2, standing(), [0, 0, 31.0, 0, 0, 0]))), "clipped"),
        (imu_signals(imu_window(standing(1))), "too few"),
        ({}, "no data has arrived"),
    ],
)
def test_a_fault_is_named(signals, fault):
    assert fault in reason_of(signals)


def test_a_silent_sensor_and_one_with_a_wrong_clock_are_not_believed():
    signals = camera_signals(STREET)
    assert reason_of(signals, age=1.5) == "no data for more than 1 s"
    assert "in the future, is its clock right?" in reason_of(signals, age=-66.0)
    assert "in the past, is its clock right?" in reason_of(signals, age=66.0, silence=0.1)
    assert reason_of(signals, age=66.0, silence=2.0) == "no data for more than 1 s"


def sensed(weather: Weather | str, seed: int = 0, *faults: Fault) -> dict[str, float]:
    """The signals of every sensor of a simulated car, two seconds into its drive."""
    drive = Drive(seed, load_rig("front"), weather, faults=faults)
    drive.advance(1.5)
    before = drive.capture()
    drive.advance(0.5)
    now = drive.capture()
    frames = ((now.cameras[0], before.cameras[0]), (now.lidar, before.lidar), (now.imu, before.imu))
    return {name: value for newest, previous in frames for name, value in measure(newest, previous).items() if name != "frozen"}


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("luminance", Weather(light=0.0), Weather(light=0.8)),
        ("dimness", Weather(light=0.8), Weather(light=0.0)),
        ("grain", Weather(light=0.8), Weather(light=0.1)),
        ("black", Weather(light=0.8), Weather(light=0.0)),
        ("saturated", Weather(light=0.3, fog=0.9), Weather(light=0.8, glare=0.9)),
        ("contrast", Weather(light=0.8, fog=0.9), Weather(light=0.8)),
        ("sharpness", Weather(light=0.8, fog=0.9), Weather(light=0.8)),
        ("haze", Weather(light=0.8), Weather(light=0.8, fog=0.9)),
        ("near", Weather(light=0.8), Weather(light=0.8, fog=0.9)),
        ("ghosts", Weather(light=0.8), Weather(light=0.8, rain=0.9)),
        ("points", Weather(light=0.8, rain=0.9), Weather(light=0.8)),
        ("reach", Weather(light=0.8, fog=0.9), Weather(light=0.8)),
        ("range_spread", Weather(light=0.8, fog=0.9), Weather(light=0.8)),
        ("intensity", Weather(light=0.8, rain=0.9), Weather(light=0.8)),
        ("intensity_spread", Weather(light=0.8, rain=0.9), Weather(light=0.8)),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_light_and_weather_move_a_signal_as_the_table_says(name, low, high, seed):
    assert sensed(low, seed)[name] < sensed(high, seed)[name]


def test_a_hand_over_half_the_lens_covers_half_of_the_fields():
    assert sensed("night")["covered"] == 0.0
    assert sensed("day", 0, Fault("front", "half_covered"))["covered"] == pytest.approx(0.5, abs=0.07)


def test_a_lidar_that_sees_one_side_has_a_gap_of_half_a_turn():
    assert sensed("day")["gap"] < 0.3 and sensed("day")["coverage"] > 0.95
    half = sensed("day", 0, Fault("lidar", "half_covered"))
    assert half["gap"] == pytest.approx(np.pi, abs=0.2) and half["coverage"] == pytest.approx(0.5, abs=0.03)


def test_an_imu_at_the_end_of_its_range_is_clipped_and_noise_is_that_of_neighbouring_samples():
    samples = standing(200)
    assert imu_signals(imu_window(samples))["noise"] == pytest.approx(0.02 * np.sqrt(3), rel=0.2)
    samples[::2, 2] = 39.2
    assert imu_signals(imu_window(samples))["clipped"] == pytest.approx(0.5)


def test_an_imu_in_units_of_g_and_one_that_is_mounted_upside_down_are_named():
    in_g, upside_down = standing(), standing()
    in_g[:, :3] /= 9.81
    upside_down[:, :3] *= -1.0
    assert "g instead of m/s^2" in reason_of(imu_signals(imu_window(in_g)))
    assert "imu.axes" in reason_of(imu_signals(imu_window(upside_down)))
    assert reason_of(imu_signals(imu_window(standing()))) == ""


def test_a_sensor_that_stops_together_with_the_clock_is_silent():
    signals = imu_signals(imu_window(standing()))
    assert reason_of(signals, age=0.1, silence=4.0) == ""
    assert "the clock has stopped too" in reason_of(signals, age=0.1, silence=6.0)
