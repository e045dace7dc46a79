# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Report section of `mmllm adapt --json`: one adaptation, or the measurement of an adaptation scenario."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ...metrics.statistics import wilson
from .parts import Bar, Bars, Curve, Part, gigaflops, percent

BLIND, FULL = "the best guess without sensors", "trained in full"


def adaptation_part(report: Mapping[str, Any], source: str, pictures: Callable[[str], Mapping[str, str]]) -> Part:
    """`report` has accuracies before and after, the cost, and a `curve` over seconds.

    Raises KeyError, TypeError or ValueError on a malformed report.
    """
    before, after = float(report["accuracy_before"]), float(report["accuracy_after"])
    scenario = report.get("scenario")
    if scenario:
        count = int(report["test_questions"])
        tested = f"On {count} questions about scenes never trained on"
        shares = {BLIND: float(report["blind"]), "before": before, "after": after, FULL: float(report["accuracy_full"])}
        rows = [Bar(name, share, *wilson(round(share * count), count), blind=name == BLIND) for name, share in shares.items()]
        summary = f"{tested}, {percent(before)} of the answers were right before, {percent(after)} after."
        note = f"{tested}; 95 % intervals (Wilson). Result of the acceptance test: {report['message']}."
    else:
        rows, note = [Bar("before", before), Bar("after", after)], "On the held-out samples of the acceptance test."
        summary = f"{report['message']}."
    return Part(
        title=f"Adaptation scenario: {scenario.replace('_', ' ')}" if scenario else "Adaptation on the robot",
        summary=summary,
        source=source,
        facts=_facts(report),
        bars=[Bars("Right answers", note, rows)],
        curve=_curve(report.get("curve") or [], rows),
    )


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("time", f"{report['seconds']:.0f} s"), ("operations", f"{gigaflops(report['flops'])} GFLOP")]
    facts += [("peak memory", f"{report['peak_memory_mb']:.0f} MB")]
    facts += [("share of the gain of full training", percent(report["gain_fraction"]))] if "gain_fraction" in report else []
    return facts + [(name, str(report[name])) for name in ("samples", "revision") if name in report]


def _curve(rows: list[Mapping[str, float]], levels: list[Bar]) -> Curve | None:
    """Accuracy over seconds, with the other accuracies as horizontal lines."""
    points = [(float(row["seconds"]), float(row["accuracy"])) for row in rows]
    if len(points) < 2 or (end := points[-1][0]) <= 0:
        return None
    known = sorted(((bar.name, bar.share) for bar in levels if bar.name != "after"), key=lambda level: -level[1])
    shares = [share for _, share in (*points, *known)]
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError("an accuracy is not between 0 and 1")
    low, high = math.floor(10 * min(shares) - 0.2), math.ceil(10 * max(shares) + 0.2)
    ticks = range(10 * max(low, 0), 10 * min(high, 10) + 1, 10)
    note = "Time starts with the command. Before the line begins, the samples are prepared."
    ends = ("0 s", f"{end:.0f} s")
    return Curve("Right answers during training", note, [(x / end, y) for x, y in points], known, ends, ticks)
