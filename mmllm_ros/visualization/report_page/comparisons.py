# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `mmllm drive --scenario` wrote -> what a page shows of it: ways to choose the modalities, on the same questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...metrics.statistics import wilson
from .parts import Bar, Bars, Grid, Part, gigaflops, percent

NAMES = {"always_on": "everything, always", "ours": "the context monitor", "ours_ahead": "the monitor, encoding ahead"}
NAMES |= {"all_when_asked": "everything, when asked", "oracle": "the oracle", "random": "a random plan"}

FIGURES = {"day_to_night_fog": "drive_context.png", "broken_sensors": "drive_broken_sensors.png"}
"""What the picture of each scenario is called."""

FIRST = ("ours", "ours_ahead", "always_on")


def comparison_part(report: Mapping[str, Any], source: str, pictures: Callable[[str], Mapping[str, str]]) -> Part:
    """`report` as scenario_report.summarise returns it. Raises as a bad report does."""
    plans = {name: row for name, row in report.items() if isinstance(row, dict)}
    plans = {name: plans[name] for name in FIRST if name in plans} | plans
    ours, always, drives = plans["ours"], plans["always_on"], report["drives"]
    note = (
        "On the same questions; 95 % intervals (Wilson). Grey rows are no plans to follow: a set drawn for each question, "
        "and the cheapest set that was right in hindsight."
    )
    return Part(
        title=f"Which sensors to plug in, when: {report['scenario'].replace('_', ' ')}",
        summary=(
            f"{report['questions']} questions on {drives} drive{'s' * (drives != 1)} of {report['duration']:.0f} s. With the "
            f"context monitor {percent(ours['accuracy'])} are answered right, with everything always on "
            f"{percent(always['accuracy'])}. The monitor takes {percent(ours['flops_share'])} of the operations and "
            f"{percent(ours['cpu_share'])} of the CPU time."
        ),
        source=source,
        facts=[
            ("light and weather named rightly", percent(report["context_right"])),
            ("sensors plugged in or out, a minute", f"{ours['switches_per_min']:.1f}"),
        ],
        bars=[Bars("Right answers", note, [_bar(*item) for item in plans.items()])],
        figure=pictures(FIGURES[report["scenario"]]).get("figure"),
        grids=[_costs(plans)],
    )


def _bar(name: str, row: Mapping[str, Any]) -> Bar:
    right = round(row["accuracy"] * row["questions"])
    return Bar(
        _named(name, row), float(row["accuracy"]), *wilson(right, int(row["questions"])), blind=name in ("random", "oracle")
    )


def _costs(plans: Mapping[str, Mapping[str, Any]]) -> Grid:
    rows = [
        (
            _named(name, row),
            gigaflops(row["flops"]),
            percent(row["flops_share"]),
            f"{row['cpu_s']:.1f}",
            percent(row["cpu_share"]),
        )
        for name, row in plans.items()
    ]
    note = "Encoders and LLM, over all drives. Shares are of everything, always."
    return Grid("What it cost", note, ("plan", "GFLOP", "share", "CPU s", "share"), rows)


def _named(name: str, row: Mapping[str, Any]) -> str:
    return f"the best pair: {row['pair'].replace('+', ' + ')}" if "pair" in row else NAMES.get(name, f"{name} alone")
