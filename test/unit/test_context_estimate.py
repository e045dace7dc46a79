# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Light, weather and motion from the signals of simulated sensors."""

from __future__ import annotations

import dataclasses

import pytest

from mmllm_ros.context.context_estimate import Context, estimate, name_of, shipped_weights
from mmllm_ros.context.health_signals import SIGNALS
from mmllm_ros.datasets.simulated_drive import DriveSensors, SimulatedMoment
from mmllm_ros.datatypes import Health
from mmllm_ros.evaluation.context_accuracy import balanced, confusion, fit
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.truth import Weather


def moment(weather: Weather | str, seed: int = 0) -> SimulatedMoment:
    drive = Drive(seed, load_rig("front"), weather)
    sensors = DriveSensors(drive.rig)
    drive.advance(1.5 + seed)
    sensors.observe(drive.capture())
    drive.advance(0.5)
    return sensors.observe(drive.capture())


def health(modality: str, healthy: bool = True, **signals: float) -> Health:
    return Health(modality, modality, 1, 10.0, 0.1, 0.0, 0, signals, healthy)


CLEAR = {
    "day": Weather(light=0.85),
    "night": Weather(light=0.02),
    "fog": Weather(light=0.6, fog=0.8),
    "rain": Weather(light=0.5, rain=0.8),
    "glare": Weather(light=0.7, glare=0.9),
}


@pytest.mark.parametrize("name", CLEAR)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_clear_case_is_named_and_a_moving_car_moves(name, seed):
    seen = moment(CLEAR[name], seed)
    context = estimate(seen.healths)
    assert context.name == name
    assert context.motion.startswith(("moving", "turning")) == (seen.truth.ego.speed > 1.0)


def test_fog_is_told_by_the_camera_alone_and_by_the_lidar_alone():
    seen = moment(CLEAR["fog"])
    for modality in ("camera", "lidar"):
        assert estimate([item for item in seen.healths if item.modality == modality]).name == "fog"


def test_a_car_at_rest_is_told_by_its_imu():
    # Measured with the engine on: 0.05 m/s^2 at rest, from 0.11 when rolling.
    assert str(estimate([health("imu", vibration=0.05)])) == "standing"
    assert estimate([health("imu", vibration=0.11)]).motion == "moving"
    assert estimate([health("imu", vibration=0.11, turn_rate=-0.2)]).motion == "turning right"


def test_sensors_that_are_not_believed_tell_nothing():
    assert estimate([]) == Context()
    assert estimate([health("imu", healthy=False, vibration=0.0), health("camera")]) == Context()


def test_a_camera_that_is_out_of_order_behind_a_cover_makes_the_context_covered():
    assert estimate([health("camera", healthy=False, covered=1.0)]).name == "covered"


def test_one_dark_camera_of_several_does_not_make_a_night():
    day, lidar, _ = moment(CLEAR["day"]).healths
    dark = dataclasses.replace(day, signals={**day.signals, "luminance": 0.3, "dimness": 0.15})
    assert estimate([dark, dark, dark, dark, lidar]).levels["light"] < estimate([day, day, day, dark, lidar]).levels["light"]
    assert estimate([day, day, day, dark, lidar]).name not in ("night", "dusk")


def test_the_strongest_condition_gives_the_name():
    assert name_of({"light": 0.9, "fog": 0.35, "rain": 0.5, "glare": 0.1}) == "rain"
    assert name_of({"light": 0.3, "fog": 0.2}) == "dusk"


def test_every_signal_that_a_weight_is_for_is_documented():
    for levels in shipped_weights().values():
        for row in levels.values():
            assert abs(row.offset) < 20 and 0 < row.error < 1 and set(row.signals) <= set(SIGNALS)


def test_the_chance_of_a_level_follows_from_its_error():
    context = Context("fog", "", {"fog": 0.4, "light": 0.45}, {"fog": 0.1, "light": 0.5})
    assert context.chance_above("fog", 0.4) == context.chance_above("light", 0.45) == 0.5
    assert context.chance_above("fog", 0.2) == pytest.approx(0.977, abs=0.001)
    assert context.chance_above("light", 0.0) == pytest.approx(1.0, abs=0.001)


def test_the_weights_are_fitted_from_drives_and_the_confusion_counts_every_moment():
    moments = [moment(weather, seed) for weather in CLEAR.values() for seed in (0, 1)]
    assert set(fit(moments)) == {"camera", "lidar", "camera+lidar"}
    report = confusion(moments, load_rig("front"))
    assert balanced(report["answers"]["Is it foggy?"]) == balanced(report["answers"]["What time of day is it?"]) == 1.0
    assert report["n"] == sum(sum(row.values()) for row in report["names"].values()) == 10
    assert report["right"] >= 0.9
