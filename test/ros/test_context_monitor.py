# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The context monitor over DDS: health in, latched plan out, operator overrides, the encoders' lifecycle."""

from __future__ import annotations

import string
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from mmllm_ros.msg import Answer, Evidence, ModalityPlan, SensorHealth
from mmllm_ros.srv import SetModality
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock

from mmllm_ros.datatypes import NANOSECONDS, Health
from mmllm_ros.nodes.context_monitor import ContextMonitor
from mmllm_ros.nodes.monitoring import encoder_lifecycles
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.ros_support.lifecycle_node import SafeLifecycleNode
from mmllm_ros.nodes.ros_support.messages import health_to_message

rng = np.random.default_rng(0)


class FakeEncoder(SafeLifecycleNode):
    """Follows every transition, unless set to reject configure so many times or to wait for an event first."""

    def __init__(self, name: str, refusals: int = 0, wait: threading.Event | None = None, namespace: str = "") -> None:
        super().__init__(name, namespace=namespace, enable_logger_service=False)
        self._refusals = refusals
        self._wait = wait
        self.active = False
        self.configured = 0

    def on_configure(self, state: State) -> TransitionCallbackReturn:
        if self._wait:
            self._wait.wait()
        self.configured += 1
        self._refusals -= 1
        return TransitionCallbackReturn.FAILURE if self._refusals >= 0 else TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: State) -> TransitionCallbackReturn:
        self.active = True
        return super().on_activate(state)

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        self.active = False
        return super().on_deactivate(state)


class Reporter:
    """Reports the health of one source four times a second until it is stopped."""

    def __init__(self, ros, modality: str, source: str, namespace: str = "", **signals: float) -> None:
        self.healthy, self.reason, self.silent = True, "", False
        self._what = (modality, source, signals)
        self._publisher = ros.publisher(SensorHealth, f"{namespace}mmllm/health")
        self._clock = ros.tester.get_clock()
        ros.tester.create_timer(0.25, self.report)

    def report(self) -> None:
        if self.silent:
            return
        modality, source, signals = self._what
        stamp = self._clock.now().nanoseconds
        health = Health(modality, source, stamp, 10.0, 0.1, 0.0, 0, signals, self.healthy, self.reason)
        self._publisher.publish(health_to_message(health))


def start(ros, namespace="", **parameters) -> ContextMonitor:
    overrides = [Parameter(name, value=value) for name, value in {"rate": 10.0, "lost_after": 60.0, **parameters}.items()]
    return ros.add(ContextMonitor(namespace=namespace, parameter_overrides=overrides))


def plans(ros, namespace="") -> list[ModalityPlan]:
    return ros.collect(ModalityPlan, f"{namespace}mmllm/plan", qos.LATCHED)


def plugged(plan: ModalityPlan) -> dict[str, bool]:
    return dict(zip(plan.modalities, plan.plugged, strict=True))


def reason(plan: ModalityPlan, modality: str) -> str:
    return plan.reasons[list(plan.modalities).index(modality)]


def override(ros, modality, mode, namespace=""):
    return ros.call(SetModality, f"{namespace}mmllm/set_modality", SetModality.Request(modality=modality, mode=mode))


def test_a_healthy_encoder_is_configured_and_activated_and_a_lost_one_deactivated(ros):
    encoder = ros.add(FakeEncoder("camera_encoder"))
    start(ros, lost_after=0.8)
    received = plans(ros)
    ros.until(lambda: encoder.configured)
    assert not encoder.active
    health = Reporter(ros, "camera", "front")
    ros.until(lambda: encoder.active)
    ros.until(lambda: plugged(received[-1]) == {"camera": True, "lidar": False, "imu": False})
    assert reason(received[-1], "lidar") == "no health report of lidar yet"
    health.silent = True
    ros.until(lambda: not encoder.active)
    ros.until(lambda: reason(received[-1], "camera") == "front: lost, no report for more than 0.8 s")
    health.silent = False
    ros.until(lambda: encoder.active)
    assert encoder.configured == 1


def test_a_sensor_that_reports_itself_unhealthy_is_unplugged_with_its_reason(ros):
    start(ros)
    received = plans(ros)
    health = Reporter(ros, "camera", "front")
    ros.until(lambda: received and plugged(received[-1])["camera"])
    health.healthy, health.reason = False, "black picture"
    ros.until(lambda: not plugged(received[-1])["camera"])
    ros.until(lambda: reason(received[-1], "camera") == "front: black picture")


def test_a_bag_that_starts_again_does_not_unplug_a_sensor_whose_next_report_is_due_only_later(ros):
    monitor = start(ros, use_sim_time=True)
    received = plans(ros)
    health = Reporter(ros, "camera", "front")
    ros.until(lambda: received and plugged(received[-1])["camera"])
    health.silent = True
    clock = ros.publisher(Clock, "/clock", qos.RELIABLE)
    for seconds in (100, 10):
        clock.publish(Clock(clock=Time(sec=seconds)))
        ros.until(lambda: monitor.get_clock().now().nanoseconds == seconds * NANOSECONDS)  # noqa: B023
    # The plan that this makes is one of after the jump.
    assert override(ros, "imu", SetModality.Request.UNPLUGGED).success
    ros.until(lambda: reason(received[-1], "imu").startswith("unplugged by the operator"))
    assert reason(received[-1], "camera") == "healthy" and plugged(received[-1])["camera"]


def test_who_joins_late_gets_the_plan_and_an_unchanged_plan_is_not_repeated(ros):
    start(ros)
    Reporter(ros, "imu", "imu", vibration=0.3)
    early = plans(ros)
    ros.until(lambda: early and plugged(early[-1])["imu"])
    assert early[-1].context == "moving"
    count = len(early)
    time.sleep(1.0)
    assert len(early) == count
    late = plans(ros)
    ros.until(lambda: late)
    assert plugged(late[0]) == plugged(early[-1])


def test_a_restless_plan_is_published_at_most_twice_a_second(ros):
    start(ros, rate=20.0)
    health = Reporter(ros, "camera", "front")
    received = plans(ros)
    ros.until(lambda: received and plugged(received[-1])["camera"])
    began, before = time.monotonic(), len(received)

    def told_thrice() -> bool:
        health.healthy, health.reason = False, f"reason {rng.choice(list(string.ascii_letters), 8)}"
        health.report()
        return len(received) >= before + 3

    ros.until(told_thrice)
    # The first may come at once, and an earlier one may not have been received yet.
    assert len(received) - before - 2 <= (time.monotonic() - began) / 0.5


def test_a_plan_of_another_publisher_is_replaced_and_reported(ros):
    start(ros)
    Reporter(ros, "camera", "front")
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    received = plans(ros)
    ros.until(lambda: received and plugged(received[-1])["camera"])
    other = ros.publisher(ModalityPlan, "mmllm/plan", qos.LATCHED, matched=1)
    other.publish(ModalityPlan(modalities=["camera"], plugged=[False], reasons=["hostile"]))
    ros.until(lambda: any(plan.reasons == ["hostile"] for plan in received))
    ros.until(lambda: plugged(received[-1])["camera"])

    def reported() -> bool:
        statuses = [status for array in diagnostics for status in array.status if "publishers of the plan" in status.name]
        return any(status.message.startswith("2 nodes publish mmllm/plan") for status in statuses)

    ros.until(reported)


def test_the_operator_wins_until_automatic(ros):
    encoder = ros.add(FakeEncoder("camera_encoder"))
    start(ros)
    received = plans(ros)
    Reporter(ros, "camera", "front")
    ros.until(lambda: encoder.active)
    response = override(ros, "camera", SetModality.Request.UNPLUGGED)
    assert response.success and response.message == "camera is unplugged"
    ros.until(lambda: not encoder.active)
    ros.until(lambda: reason(received[-1], "camera") == "unplugged by the operator; healthy")
    assert override(ros, "camera", SetModality.Request.AUTOMATIC).success
    ros.until(lambda: encoder.active)


def test_a_transition_by_an_operator_is_an_override_that_the_plan_and_set_modality_know(ros):
    encoder = ros.add(FakeEncoder("camera_encoder"))
    start(ros)
    received = plans(ros)
    Reporter(ros, "camera", "front")
    ros.until(lambda: encoder.active)
    time.sleep(0.5)  # the monitor has seen it active
    assert ros.transit(encoder, "deactivate")
    ros.until(lambda: reason(received[-1], "camera") == "unplugged by the operator; healthy")
    assert not encoder.active
    assert ros.transit(encoder, "activate")
    ros.until(lambda: plugged(received[-1])["camera"] and reason(received[-1], "camera") == "healthy")
    assert ros.transit(encoder, "shutdown")
    arrays = ros.collect(DiagnosticArray, "/diagnostics")
    ended = "context_monitor: camera encoder: camera_encoder has been shut down"
    ros.until(lambda: ended in {f"{status.name}: {status.message}" for array in arrays for status in array.status})


@pytest.mark.parametrize(("modality", "mode", "part"), [("sonar", 1, "'sonar'"), ("camera", 7, "mode 7")])
def test_an_override_that_makes_no_sense_is_refused_by_name(ros, modality, mode, part):
    start(ros)
    response = override(ros, modality, mode)
    assert not response.success and part in response.message


def test_an_encoder_that_refuses_is_reported_and_tried_again(ros):
    encoder = ros.add(FakeEncoder("lidar_encoder", refusals=1))
    start(ros)
    arrays = ros.collect(DiagnosticArray, "/diagnostics")

    def messages() -> set[str]:
        return {f"{status.name}: {status.message}" for array in arrays for status in array.status}

    ros.until(lambda: "context_monitor: lidar encoder: lidar_encoder rejected 'configure'; its log says why" in messages())
    ros.until(lambda: "context_monitor: camera encoder: camera_encoder is not running" in messages())
    ros.until(lambda: encoder.configured == 2)
    arrays.clear()
    ros.until(lambda: "context_monitor: lidar encoder: follows the plan" in messages())


def test_an_encoder_that_takes_too_long_is_reported_and_followed_up(ros):
    configure = threading.Event()
    encoder = ros.add(FakeEncoder("imu_encoder", wait=configure))
    monitor = start(ros, service_timeout=0.3)

    def messages() -> str:
        return next(status.message for status in monitor._lifecycles.statuses() if status.part == "imu encoder")

    try:
        ros.until(lambda: messages().startswith("imu_encoder did not answer"))
    finally:
        configure.set()
    Reporter(ros, "imu", "imu")
    ros.until(lambda: encoder.active)
    assert encoder.configured == 1
    ros.until(lambda: messages() == "follows the plan")


def test_an_encoder_that_is_restarted_is_brought_back_to_where_it_was(ros):
    first = ros.add(FakeEncoder("camera_encoder"))
    start(ros)
    Reporter(ros, "camera", "front")
    ros.until(lambda: first.active)
    assert ros.transit(first, "deactivate", "cleanup")
    ros.until(lambda: first.configured == 2)
    active = State.PRIMARY_STATE_ACTIVE
    ros.until(lambda: ros.call(GetState, "camera_encoder/get_state", GetState.Request()).current_state.id == active)


class WithoutNode:
    """A lifecycle client that has no node to switch."""

    def __init__(self, *_) -> None:
        self.loaded = True

    def step(self, active: bool, timeout: float, loaded: bool) -> None:
        self.loaded = loaded


@pytest.fixture
def lifecycles(monkeypatch):
    """Those of a lidar that is not plugged; `seconds` sets the time."""
    monkeypatch.setattr(encoder_lifecycles, "LifecycleClient", WithoutNode)
    monkeypatch.setattr(encoder_lifecycles, "time", SimpleNamespace(monotonic=lambda: made.seconds))
    made = SimpleNamespace(seconds=0.0)
    made.all = encoder_lifecycles.EncoderLifecycles(None, ["lidar"], print)

    def loaded(seconds: float, memory: float, plugged: bool = False) -> bool:
        made.seconds = seconds
        made.all.follow({"lidar": plugged}, 5.0, memory, unload_after=30.0)
        return made.all._clients["lidar"].loaded

    made.loaded = loaded
    return made


def test_freed_weights_come_back_when_memory_is_well_below_the_limit_or_they_are_plugged(lifecycles):
    loaded = lifecycles.loaded
    assert loaded(29.0, 93.0)
    assert not loaded(31.0, 93.0)
    assert not loaded(32.0, 91.0), "freeing them has brought memory below the limit"
    assert loaded(33.0, 84.0)
    assert loaded(62.0, 93.0) and not loaded(64.0, 93.0)
    assert loaded(65.0, 93.0, plugged=True) and not lifecycles.all.unloaded


def test_weights_of_a_modality_that_answers_use_on_request_stay(lifecycles):
    lifecycles.seconds = 20.0
    lifecycles.all.use(["lidar", "of another robot"])
    assert lifecycles.loaded(49.0, 93.0)
    assert not lifecycles.loaded(51.0, 93.0)


def test_an_answer_uses_the_modalities_of_its_evidence(ros):
    used = start(ros)._lifecycles._used
    before = used["lidar"]
    answers = ros.publisher(Answer, "mmllm/answers", qos.RELIABLE)
    answers.publish(Answer(question="Is anything close?", evidence=[Evidence(modality="lidar", source="lidar")]))
    ros.until(lambda: used["lidar"] > before)


def test_two_robots_in_two_namespaces_do_not_hear_each_other(ros):
    encoders = {name: ros.add(FakeEncoder("camera_encoder", namespace=name)) for name in ("one", "two")}
    for name in encoders:
        start(ros, name)
        Reporter(ros, "camera", "front", namespace=f"{name}/")
    ros.until(lambda: all(encoder.active for encoder in encoders.values()))
    assert override(ros, "camera", SetModality.Request.UNPLUGGED, "one/").success
    ros.until(lambda: not encoders["one"].active)
    assert encoders["two"].active
