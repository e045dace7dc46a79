# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The context_monitor node: subscribes to health, publishes the plan and switches the encoders' lifecycle accordingly."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ..config import MonitorConfig
from ..context.clock_offsets import clock_offsets
from ..context.load_shedding import LoadShedding
from ..context.machine_load import MEBIBYTE, MachineLoad
from ..context.modality_selection import AnswerBudget
from ..context.plan import HealthReport, Planner, Rules
from ..context.plan_table import join_names, plan_table_of
from ..context.question_classifier import viewed_directions
from ..datatypes import MODALITIES, NANOSECONDS, BadInput, Plan
from ..msg import Answer, ModalityPlan, SensorHealth
from ..resources import model_folder
from ..rig import load_rig
from .monitoring.encoder_lifecycles import EncoderLifecycles
from .monitoring.overrides import Overrides
from .ros_support import qos
from .ros_support.diagnostics import Diagnostics, Level, Status
from .ros_support.known_sources import KnownSources
from .ros_support.messages import health_from_message, plan_to_message
from .ros_support.parameters import declare
from .ros_support.process import spin
from .ros_support.rejections import Rejections, without_values

MIN_PERIOD = 0.5
"""Shortest time between two messages on mmllm/plan with the same plugged modalities [s]."""

FIGURES_PERIOD = 10.0
"""The same where only figures in the reasons have changed, such as a measured CPU load [s]."""

MAX_CLOCK_OFFSET = 1.0
"""A larger offset between sensor stamps [s] is a warning. It is longer than the period of a slow sensor."""


class ContextMonitor(Node):
    """Plans `rate` times a second of wall time, so that an operator override works while /clock is paused."""

    def __init__(self, **node_arguments) -> None:
        super().__init__("context_monitor", **node_arguments)
        self.config = declare(self, MonitorConfig, self._on_config)
        rig = load_rig(self.config.rig)
        table = plan_table_of(model_folder(self.config.model), rig)
        known = dict.fromkeys((*MODALITIES, *rig.modalities))
        self._planner = Planner(known, table, viewed_directions(rig))
        self._lifecycles = EncoderLifecycles(self, rig.modalities, self._on_operator)
        self._machine_load, self._load_shedding = MachineLoad(), LoadShedding()
        self._load = self._machine_load.read()
        self._reports: dict[tuple[str, str], HealthReport] = {}
        self._sources, self._rejections = KnownSources(), Rejections()
        self._overrides = Overrides(self, lambda: [*known, *(modality for modality, _ in self._reports)], self._step)
        self._published: Plan | None = None
        self._published_at = -MIN_PERIOD
        self._plans = self.create_publisher(ModalityPlan, "mmllm/plan", qos.LATCHED)
        self.create_subscription(SensorHealth, "mmllm/health", self._on_health, qos.RELIABLE)
        self.create_subscription(Answer, "mmllm/answers", self._on_answer, qos.RELIABLE)
        self._timer = self.create_timer(1.0 / self.config.rate, self._step, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._diagnostics = Diagnostics(self, self._statuses)

    def _on_config(self, config: MonitorConfig) -> None:
        self.config = config
        self._timer.timer_period_ns = int(NANOSECONDS / config.rate)

    def _on_health(self, message: SensorHealth) -> None:
        try:
            self._sources.check(message.modality, message.source)
            health = health_from_message(message)
        except BadInput as error:
            self._rejections.add(error)
            self.get_logger().warning(f"health rejected: {error}", throttle_duration_sec=5.0)
            return
        self._reports[health.modality, health.source] = HealthReport(health, time.monotonic_ns())

    def _on_answer(self, answer: Answer) -> None:
        self._planner.add_question(answer.question)
        self._lifecycles.use(item.modality for item in answer.evidence)

    def _on_operator(self, modality: str, active: bool) -> None:
        self._overrides.on_transition(modality, active)
        self._step()

    def _step(self) -> None:
        config = self.config
        budget = AnswerBudget(config.budget, config.budget_flops, config.budget_memory * MEBIBYTE)
        share = config.encode_rate_share
        rules = Rules(config.lost_after, config.hysteresis, config.recover_after, config.epsilon, budget, share)
        self._load = self._machine_load.read()
        self._load_shedding.step(self._load, self._machine_load.own_cpu(), time.monotonic_ns())
        shedding = self._load_shedding.encode_share, self._load_shedding.reason
        # Steady time: reports that stop together with /clock must count as lost.
        plan = self._planner.step(self._reports.values(), self._overrides.modes, rules, time.monotonic_ns(), shedding)
        plan = dataclasses.replace(plan, stamp=self.get_clock().now().nanoseconds)
        for modality in self._lifecycles.unloaded:
            plan.reasons[modality] = f"unloaded, memory is low; {plan.reasons[modality]}"
        # The last plan holds, whoever published it: beside other publishers it is repeated.
        others = self.count_publishers("mmllm/plan") > 1
        if others or self._published is None or _decided(plan) != _decided(self._published):
            self._publish(plan, MIN_PERIOD)
        elif (plan.reasons, plan.context) != (self._published.reasons, self._published.context):
            self._publish(plan, FIGURES_PERIOD)
        self._lifecycles.follow(plan.plugged, config.service_timeout, self._load["memory"], config.unload_after)

    def _publish(self, plan: Plan, period: float) -> None:
        """Publishes at once where the plugged modalities change, else at most every `period` [s]."""
        now = time.monotonic()
        switched = self._published is None or plan.plugged != self._published.plugged
        if not switched and now - self._published_at < period:
            return
        if switched:
            self.get_logger().info(_summary(plan))
        self._published, self._published_at = plan, now
        self._plans.publish(plan_to_message(plan))

    def _statuses(self) -> Iterator[Status]:
        if plan := self._published:
            complete = all(plan.plugged[m] or m in plan.available for m in self._lifecycles.modalities)
            level = Level.ERROR if not any(plan.plugged.values()) else Level.OK if complete else Level.WARN
            values = {"context": plan.context, **self._planner.context.levels, **plan.reasons, **self._rejections.values()}
            yield Status("plan", level, _summary(plan), values)
        if (publishers := self.count_publishers("mmllm/plan")) > 1:
            message = f"{publishers} nodes publish mmllm/plan: this one repeats its plan every {MIN_PERIOD:g} s, stop the others"
            yield Status("publishers of the plan", Level.WARN, message)
        level = self._load_shedding.level
        message = f"load shedding level {level}: {self._load_shedding.reason}" if level else "none"
        yield Status("machine load", Level.WARN if level else Level.OK, message, self._load)
        offsets = clock_offsets([report.health for report in self._reports.values()])
        apart = max(map(abs, offsets.values()), default=0.0) > MAX_CLOCK_OFFSET
        yield Status("clocks", Level.WARN if apart else Level.OK, "stamps relative to those of the other sensors [s]", offsets)
        yield from self._lifecycles.statuses()


def _summary(plan: Plan) -> str:
    return f"plugged: {join_names([modality for modality, on in plan.plugged.items() if on])}"


def _decided(plan: Plan) -> tuple:
    """All of a plan except its stamp, its costs, and the figures in its reasons."""
    reasons = {modality: without_values(reason) for modality, reason in plan.reasons.items()}
    return plan.plugged, reasons, plan.context, plan.linked_blocks, plan.available, plan.encode_rate_share


def main(args: Sequence[str] | None = None) -> int:
    return spin(ContextMonitor, args)


if __name__ == "__main__":
    sys.exit(main())
