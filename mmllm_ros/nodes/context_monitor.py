# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The context monitor: health in, the plan out, and the encoders' lifecycle made to follow it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ..config import MonitorConfig
from ..context.choice import Budget
from ..context.clocks import clock_offsets
from ..context.demand import watched
from ..context.load import MEBIBYTE, Load
from ..context.plan import Planner, Report, Rules
from ..context.pressure import LIMITS, Pressure
from ..context.table import FILE, PlanTable, listed
from ..datatypes import MODALITIES, NANOSECONDS, BadInput, Plan
from ..msg import Answer, ModalityPlan, SensorHealth
from ..resources import model_folder
from ..rig import load_rig
from . import qos
from .clock import on_jump_back
from .diagnostics import Diagnostics, Level, Status
from .encoder_switches import EncoderSwitches
from .messages import health_from_message, plan_to_message
from .operator import Operator
from .parameters import declare
from .process import spin

SHORTEST_PERIOD = 0.5
"""Between two plans on mmllm/plan that plug the same [s]."""

CLOCKS_APART = 1.0
"""Stamps so far apart [s] are worth a warning: a period of a slow sensor is not."""


class ContextMonitor(Node):
    """Decides `rate` times a second, on the wall clock: a paused /clock must not stop an operator's override."""

    def __init__(self, **node_arguments) -> None:
        super().__init__("context_monitor", **node_arguments)
        self.config = declare(self, MonitorConfig, self._on_config)
        rig = load_rig(self.config.rig)
        carried = {"camera": rig.cameras, "lidar": rig.lidar, "imu": rig.imu}
        path = model_folder(self.config.model) / FILE
        self._planner = Planner(MODALITIES, PlanTable.read(path) if path.is_file() else None, watched(rig))
        self._switches = EncoderSwitches(self, [modality for modality, mounts in carried.items() if mounts])
        self._load, self._pressure = Load(), Pressure()
        self._burden = self._load.read()
        self._reports: dict[tuple[str, str], Report] = {}
        self._operator = Operator(self, lambda: [*MODALITIES, *(modality for modality, _ in self._reports)], self._step)
        self._published: Plan | None = None
        self._published_at = -SHORTEST_PERIOD
        self._plans = self.create_publisher(ModalityPlan, "mmllm/plan", qos.LATCHED)
        self.create_subscription(SensorHealth, "mmllm/health", self._on_health, qos.RELIABLE)
        self.create_subscription(Answer, "mmllm/answers", lambda answer: self._planner.asked(answer.question), qos.RELIABLE)
        self._timer = self.create_timer(1.0 / self.config.rate, self._step, clock=Clock(clock_type=ClockType.STEADY_TIME))
        on_jump_back(self, self._reports.clear)
        self._diagnostics = Diagnostics(self, self._statuses)

    def _on_config(self, config: MonitorConfig) -> None:
        self.config = config
        self._timer.timer_period_ns = int(NANOSECONDS / config.rate)

    def _on_health(self, message: SensorHealth) -> None:
        try:
            health = health_from_message(message)
        except BadInput as error:
            self.get_logger().warning(f"refused: {error}", throttle_duration_sec=5.0)
            return
        self._reports[health.modality, health.source] = Report(health, self.get_clock().now().nanoseconds)

    def _step(self) -> None:
        config = self.config
        budget = Budget(config.budget, config.budget_flops, config.budget_memory * MEBIBYTE)
        rules = Rules(config.lost_after, config.dwell, config.recover_after, config.epsilon, budget, config.duty)
        self._burden = self._load.read()
        relief = self._pressure.step(self._burden, time.monotonic_ns())
        now = self.get_clock().now().nanoseconds
        plan = self._planner.step(self._reports.values(), self._operator.overrides, rules, now, relief)
        for modality in self._switches.unloaded:
            plan.reasons[modality] = f"unloaded, memory is short; {plan.reasons[modality]}"
        if self._published is None or _content(plan) != _content(self._published):
            self._publish(plan)
        short = self._burden["memory"] > LIMITS["memory"][0]
        self._switches.follow(plan.plugged, config.service_timeout, short, config.unload_after)

    def _publish(self, plan: Plan) -> None:
        """What is plugged or not is told at once; a plan that only says something else, at most every half second."""
        now = time.monotonic()
        switched = self._published is None or plan.plugged != self._published.plugged
        if not switched and now - self._published_at < SHORTEST_PERIOD:
            return
        if switched:
            self.get_logger().info(_summary(plan))
        self._published, self._published_at = plan, now
        self._plans.publish(plan_to_message(plan))

    def _statuses(self) -> Iterator[Status]:
        if plan := self._published:
            whole = all(plan.plugged[m] or m in plan.available for m in self._switches.modalities)
            level = Level.ERROR if not any(plan.plugged.values()) else Level.OK if whole else Level.WARN
            values = {"context": plan.context, **self._planner.context.levels, **plan.reasons}
            yield Status("plan", level, _summary(plan), values)
        busy = self._pressure.level
        told = f"gives way by {busy} steps: {self._pressure.reason}" if busy else "none"
        yield Status("compute pressure", Level.WARN if busy else Level.OK, told, self._burden)
        offsets = clock_offsets([report.health for report in self._reports.values()])
        off = max(map(abs, offsets.values()), default=0.0) > CLOCKS_APART
        yield Status("clocks", Level.WARN if off else Level.OK, "stamps ahead of the other sensors' [s]", offsets)
        yield from self._switches.statuses()


def _summary(plan: Plan) -> str:
    return f"plugged: {listed([modality for modality, on in plan.plugged.items() if on])}"


def _content(plan: Plan) -> tuple:
    """What a plan says, without its stamp and its figures."""
    return plan.plugged, plan.reasons, plan.context, plan.linked_blocks, plan.available, plan.duty


def main(args: Sequence[str] | None = None) -> int:
    return spin(ContextMonitor, args)


if __name__ == "__main__":
    sys.exit(main())
