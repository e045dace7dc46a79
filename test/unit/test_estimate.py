# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The context in a word or two, from the signals of simulated sensors."""

from __future__ import annotations

import pytest

from mmllm_ros.context.estimate import estimate
from mmllm_ros.context.signals import camera_signals, imu_signals
from mmllm_ros.datatypes import Health
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive


def health(modality: str, signals: dict[str, float], healthy: bool = True) -> Health:
    return Health(modality, modality, 1, 10.0, 0.1, 0.0, 0, signals, healthy)


@pytest.mark.parametrize("context", ["day", "night", "fog"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_day_night_and_fog_are_told_apart_in_a_moving_car(context, seed):
    drive = Drive(seed, load_rig("front"), context)
    drive.advance(2.0 + seed)
    snapshot = drive.capture()
    assert snapshot.truth.ego.speed > 1.0
    signals = [health("camera", camera_signals(snapshot.cameras[0].image)), health("imu", imu_signals(snapshot.imu))]
    assert estimate(signals) == f"{context}, moving"


def test_a_standing_car_is_told_by_its_imu():
    # Measured with the engine on: 0.05 m/s^2 at rest, from 0.11 when rolling.
    assert estimate([health("imu", {"vibration": 0.05})]) == "standing"
    assert estimate([health("imu", {"vibration": 0.11})]) == "moving"


def test_sensors_that_are_not_believed_tell_nothing():
    assert estimate([]) == "unknown"
    assert estimate([health("imu", {"vibration": 0.0}, healthy=False), health("camera", {})]) == "unknown"


def test_one_dark_camera_of_several_does_not_make_a_night():
    bright = {"luminance": 0.55, "haze": 0.3, "sharpness": 0.03}
    assert estimate([health("camera", bright)] * 3 + [health("camera", {**bright, "luminance": 0.1})]) == "day"
