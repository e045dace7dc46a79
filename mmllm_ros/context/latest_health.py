# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest health of every sensor, as long as its encoder reports."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Lock

from ..config import LOST_AFTER
from ..datatypes import Health


class LatestHealth:
    """Stores health reports; threads may share an instance. A sensor without a report for LOST_AFTER is unhealthy."""

    def __init__(self) -> None:
        self._reports: dict[tuple[str, str], tuple[Health, float]] = {}
        self._lock = Lock()

    def put(self, health: Health) -> None:
        """Store a report that has just arrived."""
        with self._lock:
            self._reports[health.modality, health.source] = (health, time.monotonic())

    def now(self) -> dict[tuple[str, str], Health]:
        """The health of each sensor at this moment, by modality and source."""
        with self._lock:
            reports = dict(self._reports)
        return {source: _at(time.monotonic() - received, health) for source, (health, received) in reports.items()}


def _at(silent: float, health: Health) -> Health:
    """The health `silent` seconds after its report."""
    if silent <= LOST_AFTER:
        return health
    reason = f"its encoder has not reported for {silent:.0f} s"
    return replace(health, healthy=False, reason=reason, rate=0.0, age=health.age + silent)
