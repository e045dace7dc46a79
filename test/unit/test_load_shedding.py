# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hysteresis, smoothing, machine load and load shedding."""

from __future__ import annotations

import psutil
import pytest

from mmllm_ros.context.clock_offsets import clock_offsets
from mmllm_ros.context.hysteresis import ExponentialSmoothing, Hysteresis
from mmllm_ros.context.load_shedding import LIMITS, LoadShedding
from mmllm_ros.context.machine_load import MachineLoad
from mmllm_ros.datatypes import NANOSECONDS, Health

S = NANOSECONDS


def test_a_value_changes_only_after_it_was_requested_without_interruption():
    hysteresis = Hysteresis()
    values = [hysteresis.step(requested, second * S, 2.0) for second, requested in enumerate("aabababbbb")]
    assert "".join(values) == "aaaaaaaabb"


def test_a_jump_back_in_time_restarts_the_wait():
    hysteresis = Hysteresis()
    hysteresis.step("a", 100 * S, 2.0)
    hysteresis.step("b", 101 * S, 2.0)
    assert [hysteresis.step("b", second * S, 2.0) for second in (1, 2, 3)] == ["a", "a", "b"]


def test_numbers_follow_with_their_time_constant():
    smoothed = ExponentialSmoothing()
    smoothed.step({"fog": 0.0}, 0, 2.0)
    # After one time constant 1 - 1/e of the way.
    assert smoothed.step({"fog": 1.0}, 2 * S, 2.0)["fog"] == pytest.approx(0.632, abs=0.001)
    assert smoothed.step({"rain": 0.4}, 3 * S, 2.0) == {"rain": 0.4}


def test_the_level_rises_after_seconds_above_a_limit_and_falls_after_more_below():
    load_shedding = LoadShedding()
    levels = [load_shedding.step({"cpu": 95.0}, second * S).level for second in range(14)]
    assert levels == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4]
    assert load_shedding.reason == "cpu 95"
    between = [load_shedding.step({"cpu": 80.0}, (14 + second) * S).level for second in range(20)]
    assert set(between) == {4}
    low = [load_shedding.step({"cpu": 20.0}, (40 + second) * S).level for second in range(41)]
    assert low[::10] == [4, 3, 2, 1, 0]


def test_load_shedding_lowers_the_rate_then_the_blocks_then_the_modalities():
    load_shedding = LoadShedding()
    levels = [load_shedding.step({"memory": 99.0}, 3 * second * S) for second in range(5)]
    assert [(r.encode_rate_share, r.shallow, r.dropped) for r in levels] == [
        (1.0, False, 0), (0.5, False, 0), (0.5, True, 0), (0.5, True, 1), (0.5, True, 2),
    ]  # fmt: skip


def test_every_value_of_the_load_has_a_limit_and_is_that_of_this_machine():
    found = MachineLoad().read()
    assert {"cpu", "memory"} <= set(found) <= set(LIMITS)
    assert found["memory"] == pytest.approx(psutil.virtual_memory().percent, abs=10.0)


def test_the_clock_that_is_off_is_found():
    def health(modality: str, age: float) -> Health:
        return Health(modality, modality, 1, 10.0, age, 0.0, 0, {}, True)

    offsets = clock_offsets([health("camera", 0.1), health("lidar", 0.2), health("imu", -66.0)])
    assert offsets["imu/imu"] == pytest.approx(66.15)
    assert abs(offsets["camera/camera"]) < 34 and clock_offsets([health("imu", -66.0)]) == {}
