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
from ..context.estimate import estimate
from ..context.plan import Mode, Report, decide
from ..datatypes import MODALITIES, NANOSECONDS, BadInput, Plan
from ..msg import ModalityPlan, SensorHealth
from ..rig import load_rig
from ..srv import SetModality
from . import qos
from .clock import on_jump_back
from .diagnostics import Diagnostics, Level, Status
from .lifecycle_switch import LifecycleSwitch
from .messages import health_from_message, plan_to_message
from .parameters import declare
from .process import spin

SHORTEST_PERIOD = 0.5
"""Between two plans on mmllm/plan [s]."""


class ContextMonitor(Node):
    """Decides `rate` times a second, on the wall clock: a paused /clock must not stop an operator's override."""

    def __init__(self, **node_arguments) -> None:
        super().__init__("context_monitor", **node_arguments)
        self.config = declare(self, MonitorConfig, self._on_config)
        rig = load_rig(self.config.rig)
        carried = {"camera": rig.cameras, "lidar": rig.lidar, "imu": rig.imu}
        self._switches = {
            modality: LifecycleSwitch(self, f"{modality}_encoder") for modality, mounts in carried.items() if mounts
        }
        self._reports: dict[tuple[str, str], Report] = {}
        self._overrides: dict[str, Mode] = {}
        self._published: Plan | None = None
        self._published_at = -SHORTEST_PERIOD
        self._plans = self.create_publisher(ModalityPlan, "mmllm/plan", qos.LATCHED)
        self.create_subscription(SensorHealth, "mmllm/health", self._on_health, qos.RELIABLE)
        self.create_service(SetModality, "mmllm/set_modality", self._on_set_modality)
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

    def _on_set_modality(self, request: SetModality.Request, response: SetModality.Response) -> SetModality.Response:
        known = sorted({*MODALITIES, *(modality for modality, _ in self._reports)})
        if request.modality not in known:
            response.message = f"modality {request.modality!r} is not one of {known}"
        elif request.mode not in list(Mode):
            response.message = f"mode {request.mode} is not 0 (automatic), 1 (plugged) or 2 (unplugged)"
        else:
            self._overrides[request.modality] = Mode(request.mode)
            response.success = True
            response.message = f"{request.modality} is {Mode(request.mode).name.lower()}"
            self.get_logger().info(f"operator: {response.message}")
        return response

    def _step(self) -> None:
        plan = decide(
            MODALITIES,
            self._reports.values(),
            self._overrides,
            now=self.get_clock().now().nanoseconds,
            lost_after=self.config.lost_after,
            context=estimate([report.health for report in self._reports.values()]),
        )
        if self._published is None or _content(plan) != _content(self._published):
            self._publish(plan)
        for modality, switch in self._switches.items():
            switch.step(plan.plugged[modality], self.config.service_timeout)

    def _publish(self, plan: Plan) -> None:
        """A plan that changes all the time is told every half second; the one in force then is told."""
        now = time.monotonic()
        if now - self._published_at < SHORTEST_PERIOD:
            return
        if self._published is None or plan.plugged != self._published.plugged:
            self.get_logger().info(_summary(plan))
        self._published, self._published_at = plan, now
        self._plans.publish(plan_to_message(plan))

    def _statuses(self) -> Iterator[Status]:
        if plan := self._published:
            level = Level.OK if any(plan.plugged.values()) else Level.WARN
            yield Status("plan", level, _summary(plan), {"context": plan.context, **plan.reasons})
        for modality, switch in self._switches.items():
            level = Level.WARN if switch.trouble else Level.OK
            yield Status(f"{modality} encoder", level, switch.trouble or "follows the plan")


def _summary(plan: Plan) -> str:
    plugged = [modality for modality, on in plan.plugged.items() if on]
    return f"plugged: {', '.join(plugged)}" if plugged else "nothing is plugged"


def _content(plan: Plan) -> tuple:
    """All of a plan but its stamp."""
    return plan.plugged, plan.reasons, plan.context, plan.linked_blocks


def main(args: Sequence[str] | None = None) -> int:
    return spin(ContextMonitor, args)


if __name__ == "__main__":
    sys.exit(main())
