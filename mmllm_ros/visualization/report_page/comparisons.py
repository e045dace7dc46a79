# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Report section of `mmllm compare-plans`: plans to choose the modalities, compared on the same questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...metrics.statistics import wilson
from .parts import Bar, Bars, Grid, Part, gigaflops, percent

NAMES = {"always_on": "everything, always", "ours": "the context monitor", "ours_ahead": "the monitor, encoding ahead"}
NAMES |= {"all_when_asked": "everything, when asked", "oracle": "the oracle", "random": "a random plan"}

FIGURES = {"day_to_night_fog": "drive_context.png", "broken_sensors": "drive_broken_sensors.png"}
"""File name of the figure of each scenario."""

FIRST = ("ours", "ours_ahead", "always_on")


def comparison_part(report: Mapping[str, Any], source: str, pictures: Callable[[str], Mapping[str, str]]) -> Part:
    """`report` as plan_comparison_report.summarise returns it. Raises KeyError, TypeError or ValueError if malformed."""
    plans = {name: row for name, row in report.items() if isinstance(row, dict)}
    plans = {name: plans[name] for name in FIRST if name in plans} | plans
    ours, always, drives = plans["ours"], plans["always_on"], report["drives"]
    note = (
        "On the same questions; 95 % intervals (Wilson). Grey rows are bounds, not plans: a set drawn at random for each "
        "question, and the cheapest set that was right in hindsight."
    )
    return Part(
        title=f"Plan comparison: {report['scenario'].replace('_', ' ')}",
        summary=(
            f"{report['questions']} questions on {drives} drive{'s' * (drives != 1)} of {report['duration']:.0f} s. With the "
            f"context monitor {percent(ours['accuracy'])} are answered right, with everything always on "
            f"{percent(always['accuracy'])}. The monitor takes {percent(ours['flops_share'])} of the operations and "
            f"{percent(ours['cpu_share'])} of the CPU time."
        ),
        source=source,
        facts=[
            ("light and weather estimated correctly", percent(report["context_right"])),
            ("switches per minute", f"{ours['switches_per_min']:.1f}"),
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
    note = "Encoders and LLM, over all drives. Shares are relative to everything, always."
    return Grid("Cost", note, ("plan", "GFLOP", "share", "CPU s", "share"), rows)


def _named(name: str, row: Mapping[str, Any]) -> str:
    return f"the best pair: {row['pair'].replace('+', ' + ')}" if "pair" in row else NAMES.get(name, f"{name} alone")
