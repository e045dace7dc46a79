# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner: unhealthy modalities are unplugged at once, unneeded ones after the hysteresis, and every one has a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_modality_selection import GOOD

from mmllm_ros.context.modality_selection import AnswerBudget
from mmllm_ros.context.per_question import PerQuestionPolicy
from mmllm_ros.context.plan import HealthReport, Mode, Planner, Rules
from mmllm_ros.datatypes import MODALITIES, NANOSECONDS, Health, Plan

SECOND = NANOSECONDS
RULES = Rules(lost_after=2.0, hysteresis=5.0, recover_after=1.0, epsilon=0.01)


def report(
    modality: str, source: str = "", received: int = 0, healthy: bool = True, reason: str = "", cost: float = 0.0
) -> HealthReport:
    health = Health(modality, source or modality, received, 10.0, 0.1, 0.0, 0, {}, healthy, reason, cost)
    return HealthReport(health, received)


def plan(reports, overrides=None, now=0, rules=RULES, table=None) -> Plan:
    return Planner(MODALITIES, table).step(reports, overrides or {}, rules, now)


class Drive:
    """Half a second a step; all sensors are healthy except `broken`."""

    def __init__(self, table=GOOD, rules=RULES) -> None:
        self.planner = Planner(MODALITIES, table, {"front"})
        self.rules = rules
        self.now = 0
        self.broken: set[str] = set()
        self.overrides: dict[str, Mode] = {}

    def step(self, seconds: float = 0.5, shedding: tuple[float, str] = (1.0, "")) -> Plan:
        result = None
        for _ in range(round(seconds / 0.5)):
            self.now += SECOND // 2
            reports = [report(m, "", self.now, m not in self.broken, "black picture") for m in MODALITIES]
            result = self.planner.step(reports, self.overrides, self.rules, self.now, shedding)
        return result

    def plugged(self, *arguments) -> set[str]:
        return {modality for modality, on in self.step(*arguments).plugged.items() if on}


def test_without_a_table_everything_healthy_is_plugged_and_the_rest_has_a_reason():
    result = plan([report("camera", "front"), report("lidar", "lidar", healthy=False, reason="hardly any returns")])
    assert result.plugged == {"camera": True, "lidar": False, "imu": False}
    assert result.reasons == {
        "camera": "healthy",
        "lidar": "lidar: hardly any returns",
        "imu": "no health report of imu yet",
    }


def test_one_good_camera_of_two_is_enough_and_the_other_is_named():
    result = plan([report("camera", "front"), report("camera", "back", healthy=False, reason="black picture")])
    assert result.plugged["camera"]
    assert result.reasons["camera"] == "1 of 2 healthy; back: black picture"


def test_a_source_is_lost_when_its_reports_stop():
    assert plan([report("imu")], now=2 * SECOND).plugged["imu"]
    lost = plan([report("imu")], now=2 * SECOND + 1)
    assert not lost.plugged["imu"]
    assert lost.reasons["imu"] == "imu: lost, no report for more than 2 s"


def test_an_override_wins_both_ways_and_the_reason_keeps_the_health():
    reports = [report("camera", "front"), report("lidar", "lidar", healthy=False, reason="no returns")]
    result = plan(reports, {"camera": Mode.UNPLUGGED, "lidar": Mode.PLUGGED, "imu": Mode.AUTOMATIC})
    assert result.plugged == {"camera": False, "lidar": True, "imu": False}
    assert result.reasons["camera"] == "unplugged by the operator; healthy"
    assert result.reasons["lidar"] == "plugged by the operator; lidar: no returns"
    assert "camera" not in result.available


def test_a_modality_added_later_needs_no_entry_anywhere():
    for table in (None, GOOD):
        assert plan([report("radar", "bumper")], table=table).plugged["radar"]


def test_a_modality_that_the_table_shows_unneeded_is_unplugged_with_figures_and_stays_available():
    result = Drive().step()
    assert result.plugged == {"camera": True, "lidar": False, "imu": False}
    assert result.reasons["lidar"] == "not used: 0 % of the usual questions (unknown) need it; it is encoded on request"
    assert result.available == ("camera", "imu", "lidar")
    assert result.flops > 0 and result.cost > 0


def test_a_broken_sensor_is_unplugged_at_once_and_plugged_again_after_a_while():
    drive = Drive()
    assert drive.plugged() == {"camera"}
    drive.broken = {"camera"}
    assert drive.plugged() == {"lidar"}
    drive.broken = set()
    assert drive.plugged() == {"lidar"}
    assert drive.plugged(1.0) == {"camera"}


def test_another_set_must_be_better_for_the_hysteresis_time_before_it_is_plugged():
    drive = Drive()
    assert drive.plugged() == {"camera"}
    drive.rules = Rules(hysteresis=5.0, epsilon=0.001)  # now camera and lidar are better
    assert drive.plugged(4.5) == {"camera"}
    assert drive.plugged(1.0) == {"camera", "lidar"}


def test_with_a_large_time_budget_encoders_run_only_on_request():
    assert Drive().step().encode_rate_share == 1.0
    assert Drive(rules=Rules(budget=AnswerBudget(seconds=0.1))).step().encode_rate_share == 0.0
    assert Drive(rules=Rules(budget=AnswerBudget(seconds=0.001))).step().encode_rate_share == 1.0
    assert Drive(rules=Rules(encode_rate_share=0.25)).step().encode_rate_share == 0.25


def test_a_slow_machine_is_measured_against_the_table():
    quick = plan([report("camera", cost=0.01)], table=GOOD)
    slow = plan([report("camera", cost=0.1)], table=GOOD)
    assert slow.cost == pytest.approx(10 * quick.cost)


def test_load_shedding_lowers_the_rate_of_encoding_ahead_and_keeps_every_modality_available():
    measured = "machine cpu 97, this package 60 % of one core"
    plans = [Drive().step(0.5, (share, measured if share < 1.0 else "")) for share in (1.0, 0.5, 0.0)]
    assert [item.encode_rate_share for item in plans] == [1.0, 0.5, 0.0]
    assert {tuple(item.plugged.items()) for item in plans} == {tuple(plans[0].plugged.items())}
    assert [item.available for item in plans] == [("camera", "imu", "lidar")] * 3
    assert plans[0].reasons["camera"] == "healthy"
    assert plans[1].reasons["camera"] == f"healthy; encoded at 50 % of its rate (load shedding: {measured})"
    assert plans[2].reasons["camera"] == f"healthy; encoded only when a question needs it (load shedding: {measured})"


def test_no_budget_turns_an_answerable_question_into_a_guess():
    drive = Drive(rules=Rules(budget=AnswerBudget(flops=1.0)))
    policy = PerQuestionPolicy(GOOD, {"front"})
    assert policy.choose("Are there any cars?", drive.step(), (), 0.01).modalities


def test_one_question_leaves_out_unneeded_modalities_and_uses_unplugged_ones():
    drive = Drive()
    baseline = drive.step()
    policy = PerQuestionPolicy(GOOD, {"front"})
    assert policy.choose("Are there any cars?", baseline, (), 0.01).modalities == ("camera",)
    assert policy.choose("Are there any cars?", baseline, (), 0.001).modalities == ("camera", "lidar")
    # Questions about motion are not in this table: every available modality is used.
    assert policy.choose("Am I braking?", baseline, (), 0.01).modalities == ("camera", "imu", "lidar")
    assert policy.choose("Sing me a song!", baseline, (), 0.01).modalities == ("camera", "imu", "lidar")


def test_a_modality_that_is_forced_on_though_it_is_dead_takes_no_healthy_one_away():
    drive = Drive()
    drive.broken.add("camera")
    drive.overrides["camera"] = Mode.PLUGGED
    forced = drive.step(8.0)
    assert forced.plugged == {"camera": True, "imu": False, "lidar": True} and forced.available == ("imu", "lidar")


def test_the_time_of_an_answer_to_one_question_grows_with_the_sensors_and_with_a_slow_machine():
    baseline, policy = Drive().step(), PerQuestionPolicy(GOOD, {"front"})
    one = Health("camera", "c0", 0, 10.0, 0.1, 0.0, 0, {}, True, "", GOOD.encoders["camera"].seconds)
    six = [replace(one, source=f"c{number}") for number in range(6)]
    slow = [replace(one, cost=3 * one.cost)]
    costs = [policy.choose("Are there any cars?", baseline, (), 0.01, healths).seconds for healths in ([one], six, slow)]
    assert costs[0] < costs[1] and costs[0] < costs[2]


rows = st.lists(
    st.tuples(st.sampled_from([*MODALITIES, "radar"]), st.sampled_from("abc"), st.integers(0, 5 * SECOND), st.booleans()),
    unique_by=lambda row: row[:2],
)


@settings(deadline=None)
@given(rows, st.dictionaries(st.sampled_from(MODALITIES), st.sampled_from(Mode)), st.randoms(), st.sampled_from([None, GOOD]))
def test_every_modality_gets_a_decision_and_a_reason_in_any_order_of_reports(rows, overrides, random, table):
    reports = [report(*row) for row in rows]
    result = plan(reports, overrides, now=5 * SECOND, table=table)
    shuffled = random.sample(reports, len(reports))
    assert set(result.plugged) == set(result.reasons) == {*MODALITIES, *(row[0] for row in rows)}
    assert all(result.reasons.values())
    other = plan(shuffled, overrides, now=5 * SECOND, table=table)
    assert (other.plugged, other.reasons) == (result.plugged, result.reasons)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sets(st.sampled_from(MODALITIES)), min_size=1, max_size=30))
def test_what_is_out_of_order_is_never_plugged_however_it_flickers(broken):
    drive = Drive()
    for drive.broken in broken:
        assert not drive.plugged() & drive.broken
