# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The first policy of the context monitor: what is healthy is plugged, what the operator says wins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmllm_ros.context.plan import Mode, Report, decide
from mmllm_ros.datatypes import MODALITIES, NANOSECONDS, Health

SECOND = NANOSECONDS


def report(modality: str, source: str, received: int = 0, healthy: bool = True, reason: str = "") -> Report:
    return Report(Health(modality, source, received, 10.0, 0.1, 0.0, 0, {}, healthy, reason), received)


def plan(reports, overrides=None, now=SECOND):
    return decide(MODALITIES, reports, overrides or {}, now=now, lost_after=2.0, context="day")


def test_a_healthy_modality_is_plugged_and_a_silent_one_is_not():
    result = plan([report("camera", "front"), report("lidar", "lidar")])
    assert result.plugged == {"camera": True, "lidar": True, "imu": False}
    assert result.reasons["camera"] == "healthy"
    assert result.reasons["imu"] == "no imu has reported yet"


def test_an_unhealthy_source_says_why_its_modality_is_out():
    result = plan([report("camera", "front", healthy=False, reason="the image is black")])
    assert not result.plugged["camera"]
    assert result.reasons["camera"] == "front: the image is black"


def test_one_bad_camera_of_two_leaves_the_modality_plugged_and_is_named():
    result = plan([report("camera", "front"), report("camera", "back", healthy=False, reason="frozen")])
    assert result.plugged["camera"]
    assert result.reasons["camera"] == "1 of 2 healthy; back: frozen"


def test_a_source_without_a_report_for_longer_than_lost_after_is_lost():
    # Reported at 0 s, lost after 2 s: still there at 2 s, gone one nanosecond later.
    assert plan([report("imu", "imu")], now=2 * SECOND).plugged["imu"]
    lost = plan([report("imu", "imu")], now=2 * SECOND + 1)
    assert not lost.plugged["imu"]
    assert lost.reasons["imu"] == "imu: lost, no report for more than 2 s"


def test_the_operator_wins_both_ways_and_the_reason_keeps_the_facts():
    reports = [report("camera", "front"), report("lidar", "lidar", healthy=False, reason="no returns")]
    result = plan(reports, {"camera": Mode.UNPLUGGED, "lidar": Mode.PLUGGED, "imu": Mode.AUTOMATIC})
    assert result.plugged == {"camera": False, "lidar": True, "imu": False}
    assert result.reasons["camera"] == "unplugged by the operator; healthy"
    assert result.reasons["lidar"] == "plugged by the operator; lidar: no returns"


def test_a_modality_added_later_needs_no_entry_anywhere():
    assert plan([report("radar", "bumper")]).plugged["radar"]


reports_strategy = st.lists(
    st.tuples(st.sampled_from([*MODALITIES, "radar"]), st.sampled_from("abc"), st.integers(0, 5 * SECOND), st.booleans()),
    unique_by=lambda row: row[:2],
)


@given(reports_strategy, st.dictionaries(st.sampled_from(MODALITIES), st.sampled_from(Mode)), st.randoms())
def test_every_modality_gets_a_verdict_and_a_sentence_whatever_the_order_of_reports(rows, overrides, random):
    reports = [report(*row) for row in rows]
    result = plan(reports, overrides, now=5 * SECOND)
    shuffled = random.sample(reports, len(reports))
    assert set(result.plugged) == set(result.reasons) == {*MODALITIES, *(row[0] for row in rows)}
    assert all(result.reasons.values())
    other = plan(shuffled, overrides, now=5 * SECOND)
    assert (other.plugged, other.reasons) == (result.plugged, result.reasons)
