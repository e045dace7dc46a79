# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Summary of a comparison of plans: accuracy, compute and switches of each, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from rich.table import Table

NEAR = 10.0
"""A switch at most this long after a true change of context or of a sensor's health is a result of that change [s]."""

ORDER = ("always_on", "all_when_asked", "best_pair", "camera", "lidar", "imu", "random", "oracle", "ours_ahead", "ours")


def summarise(found: dict, name: str, duration: float) -> dict:
    """{plan: {"accuracy", "flops", "cpu_s", ...}}: FLOPs and CPU seconds of the whole drive or drives, encoders and LLM.

    `best_pair` is the pair with the highest accuracy. For `ours` also: shares of always_on's compute, the difference in accuracy
    with its standard error (the questions are the same), switches per minute, and those outside of true changes per 10 s.
    """
    rows = found["rows"]
    report = {plan: _plan(records) for plan, records in rows.items() if plan.count("+") == 0}
    pairs = {plan: _plan(records) for plan, records in rows.items() if plan.count("+") == 1}
    best = max(pairs, key=lambda plan: pairs[plan]["accuracy"])
    report["best_pair"] = {**pairs[best], "pair": best}
    always = report["always_on"]
    for plan, row in report.items():
        row["flops_share"] = row["flops"] / always["flops"]
        row["cpu_share"] = row["cpu_s"] / always["cpu_s"]
        both = zip(rows.get(plan, rows[best]), rows["always_on"], strict=True)
        difference = np.array([one["right"] - other["right"] for one, other in both])
        row["difference"] = float(difference.sum() / always["questions"])
        row["difference_se"] = float(difference.std() * np.sqrt(len(difference)) / always["questions"])
    timeline = found["timeline"]
    switches, stray, seconds = _switches(timeline)
    report["ours"] |= {"switches_per_min": 60 * switches / seconds, "stray_switches_per_10_s": 10 * stray / seconds}
    return {
        **{plan: report[plan] for plan in ORDER},
        "scenario": name, "duration": duration, "drives": len({step["drive"] for step in timeline}),
        "questions": always["questions"],
        "context_right": float(np.mean([step["truth"] == step["context"] for step in timeline])),
    }  # fmt: skip


def _plan(records: Sequence[dict]) -> dict:
    asked = sum(record["asked"] for record in records)
    return {
        "accuracy": sum(record["right"] for record in records) / asked,
        "flops": float(sum(record["flops"] for record in records)),
        "cpu_s": float(sum(record["cpu_s"] for record in records)),
        "questions": asked,
    }


def _switches(timeline: Sequence[dict]) -> tuple[int, int, float]:
    """Number of switches of modalities, number without a preceding true change, and duration [s]."""
    switches = stray = 0
    changed = -NEAR
    seconds = 0.0
    for before, now in pairwise(timeline):
        if before["drive"] != now["drive"]:
            changed = now["second"]
            continue
        seconds += now["second"] - before["second"]
        if before["truth"] != now["truth"] or before["broken"] != now["broken"]:
            changed = now["second"]
        moved = len(set(before["plugged"]) ^ set(now["plugged"]))
        switches += moved
        stray += moved * (now["second"] - changed > NEAR)
    return switches, stray, max(seconds, 1e-9)


def table(report: dict) -> Table:
    """The report as a table for the terminal."""
    view = Table(
        title=f"{report['scenario']}: {report['questions']} questions on {report['drives']} drives of {report['duration']:g} s"
    )
    for heading in ("plan", "right", "against always_on", "GFLOP", "share", "CPU s", "share"):
        view.add_column(heading, justify="left" if heading == "plan" else "right")
    for plan in ORDER:
        row = report[plan]
        name = f"{plan} ({row['pair']})" if "pair" in row else plan
        view.add_row(
            name.replace("_", " "), f"{100 * row['accuracy']:.1f} %",
            f"{100 * row['difference']:+.1f} ± {196 * row['difference_se']:.1f}",
            f"{row['flops'] / 1e9:.1f}", f"{100 * row['flops_share']:.0f} %",
            f"{row['cpu_s']:.2f}", f"{100 * row['cpu_share']:.0f} %", style="bold" if plan == "ours" else "",
        )  # fmt: skip
    ours = report["ours"]
    view.caption = (
        f"ours: {ours['switches_per_min']:.1f} switches per minute, {ours['stray_switches_per_10_s']:.2f} per 10 s outside of "
        f"true changes; context right in {100 * report['context_right']:.0f} % of all moments"
    )
    return view
