# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rate and jitter are those of the sensor, also when only some of its messages are read."""

from __future__ import annotations

import pytest

from mmllm_ros.context.rate_monitor import RateMonitor
from mmllm_ros.datatypes import NANOSECONDS

MILLISECOND = NANOSECONDS // 1000


def test_a_steady_sensor_has_its_rate_and_no_jitter():
    monitor = RateMonitor()
    for i in range(50):
        monitor.add(i * 50 * MILLISECOND)
    assert monitor.rate == pytest.approx(20.0)
    assert monitor.jitter == pytest.approx(0.0, abs=1e-12)


def test_skipped_messages_count():
    monitor = RateMonitor()
    for i in range(10):
        monitor.add(i * 500 * MILLISECOND, messages=12)
    assert monitor.rate == pytest.approx(24.0)


def test_jitter_is_the_standard_deviation_of_the_steps():
    monitor = RateMonitor()
    stamp = 0
    for step in [0, 40, 60] * 10:  # the 0 is a stamp sent twice and no step
        stamp += step * MILLISECOND
        monitor.add(stamp)
    assert monitor.jitter == pytest.approx(0.01)


def test_an_old_rate_is_dropped():
    monitor = RateMonitor()
    for i in range(100):
        monitor.add(i * 10 * MILLISECOND)
    for i in range(10, 90):
        monitor.add(i * 100 * MILLISECOND)
    assert monitor.rate == pytest.approx(10.0)


def test_a_stamp_that_goes_back_starts_afresh():
    monitor = RateMonitor()
    for i in range(10):
        monitor.add((100 + i) * NANOSECONDS)
    monitor.add(5 * NANOSECONDS)
    assert monitor.rate == 0.0
    monitor.add(5 * NANOSECONDS + 250 * MILLISECOND)
    assert monitor.rate == pytest.approx(4.0)
