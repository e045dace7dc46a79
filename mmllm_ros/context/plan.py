# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Health of every sensor + what the operator wants -> which modalities are plugged, with a sentence for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from ..datatypes import NANOSECONDS, Health, Plan


class Mode(IntEnum):
    """What the operator asked for; the numbers are those of SetModality.srv."""

    AUTOMATIC = 0
    PLUGGED = 1
    UNPLUGGED = 2


@dataclass(frozen=True, slots=True)
class Report:
    """The newest health of one source, and when it arrived [ns of the monitor's clock]."""

    health: Health
    received: int


def decide(
    modalities: Iterable[str],
    reports: Iterable[Report],
    overrides: Mapping[str, Mode],
    *,
    now: int,
    lost_after: float,
    context: str,
    linked_blocks: int = 0,
) -> Plan:
    """Plug every modality that has a healthy source, unless the operator says otherwise.

    Args:
        modalities: those the robot has sensors for. A modality that only reports health is added to them.
        reports: at most one per source.
        overrides: the operator's mode by modality, a missing one is AUTOMATIC.
        now: [ns], the clock of `Report.received`.
        lost_after: a source without a report for longer [s] is lost.
        context: passed on, see estimate.py.
        linked_blocks: N, 0 = all blocks that the model links.
    """
    sources: dict[str, list[Report]] = {modality: [] for modality in modalities}
    for report in reports:
        sources.setdefault(report.health.modality, []).append(report)
    plugged, reasons = {}, {}
    for modality, known in sources.items():
        plugged[modality], reasons[modality] = _judge(modality, known, now, lost_after)
        mode = overrides.get(modality, Mode.AUTOMATIC)
        if mode != Mode.AUTOMATIC:
            plugged[modality] = mode == Mode.PLUGGED
            reasons[modality] = f"{mode.name.lower()} by the operator; {reasons[modality]}"
    return Plan(now, plugged, reasons, context, linked_blocks)


def _judge(modality: str, reports: list[Report], now: int, lost_after: float) -> tuple[bool, str]:
    """Whether any source of a modality can be believed, and a sentence that stays the same while nothing changes."""
    if not reports:
        return False, f"no {modality} has reported yet"
    faults = {}
    for report in sorted(reports, key=lambda report: report.health.source):
        if now - report.received > lost_after * NANOSECONDS:
            faults[report.health.source] = f"lost, no report for more than {lost_after:g} s"
        elif not report.health.healthy:
            faults[report.health.source] = report.health.reason or "unhealthy"
    good = len(reports) - len(faults)
    if not faults:
        return True, f"{'healthy' if good == 1 else f'all {good} sources healthy'}"
    listed = "; ".join(f"{source}: {fault}" for source, fault in faults.items())
    return good > 0, f"{good} of {len(reports)} healthy; {listed}" if good else listed
