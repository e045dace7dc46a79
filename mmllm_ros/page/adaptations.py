# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `mmllm adapt --json` wrote -> what a page shows of it: one adaptation, or the measurement of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .parts import Bar, Bars, Curve, Part, percent


def adaptation_part(report: Mapping[str, Any], source: str, pictures: Callable[[str], Mapping[str, str]]) -> Part:
    """`report` has accuracies before and after, what was spent, and a `curve` over seconds. Raises as a bad report does."""
    before, after = float(report["accuracy_before"]), float(report["accuracy_after"])
    scenario = report.get("scenario")
    tested = f"on {report['test_questions']} questions of scenes never trained on" if scenario else "on the validation split"
    rows = [Bar("before", before), Bar("after", after)]
    if scenario:
        full = Bar("trained in full, everything plugged in", float(report["accuracy_full"]))
        rows = [Bar("the best guess without sensors", float(report["blind"]), blind=True), *rows, full]
    return Part(
        title=f"What was learned: {scenario.replace('_', ' ')}" if scenario else "What was learned on the robot",
        summary=f"{report['message']}. Right {tested}: {percent(before)} before, {percent(after)} after.",
        source=source,
        facts=_facts(report),
        bars=[Bars("Right answers", f"Measured {tested}.", rows)],
        curve=_curve(report.get("curve") or [], rows),
    )


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [("time", f"{report['seconds']:.0f} s"), ("operations", f"{report['flops']:.2g}")]
    facts += [("peak memory", f"{report['peak_memory_mb']:.0f} MB")]
    facts += [("of the full gain over blind", percent(report["gain_fraction"]))] if "gain_fraction" in report else []
    return facts + [(name, str(report[name])) for name in ("lessons", "revision") if name in report]


def _curve(rows: list[Mapping[str, float]], levels: list[Bar]) -> Curve | None:
    """Accuracy over seconds, with the other accuracies as levels."""
    points = [(float(row["seconds"]), float(row["accuracy"])) for row in rows]
    if len(points) < 2 or (end := points[-1][0]) <= 0:
        return None
    known = [(bar.name, bar.share) for bar in levels if bar.name != "after"]
    return Curve("Accuracy while it learned", [(x / end, y) for x, y in points], known, ("0 s", f"{end:.0f} s"))
