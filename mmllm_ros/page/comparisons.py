# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `mmllm drive --scenario` wrote -> what a page shows of it: ways to choose the modalities, on the same questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..statistics import wilson
from .parts import Bar, Bars, Grid, Part, percent

NAMES = {"always_on": "everything, always", "ours": "the context monitor", "ours_ahead": "the context monitor, encoding ahead"}
NAMES |= {"all_when_asked": "everything, when asked", "oracle": "the oracle", "random": "a random plan"}


def comparison_part(report: Mapping[str, Any], source: str, pictures: Callable[[str], Mapping[str, str]]) -> Part:
    """`report` as scenario_report.summarise returns it. Raises as a bad report does."""
    plans = {name: row for name, row in report.items() if isinstance(row, dict)}
    ours, always = plans["ours"], plans["always_on"]
    return Part(
        title=f"Which sensors to plug in, when: {report['scenario'].replace('_', ' ')}",
        summary=(
            f"{report['questions']} questions on {report['drives']} drives of {report['duration']:.0f} s. The context monitor "
            f"is right {percent(ours['accuracy'])} of the time, everything always on {percent(always['accuracy'])}, at "
            f"{percent(ours['flops_share'])} of its operations and {percent(ours['cpu_share'])} of its CPU time."
        ),
        source=source,
        facts=[
            ("context told rightly", percent(report["context_right"])),
            ("switches a minute", f"{ours['switches_per_min']:.1f}"),
        ],
        bars=[Bars("Right answers", "On the same questions; 95 % intervals (Wilson).", [_bar(*item) for item in plans.items()])],
        grids=[_costs(plans)],
    )


def _bar(name: str, row: Mapping[str, Any]) -> Bar:
    right = round(row["accuracy"] * row["questions"])
    return Bar(
        _named(name, row), float(row["accuracy"]), *wilson(right, int(row["questions"])), blind=name in ("random", "oracle")
    )


def _costs(plans: Mapping[str, Mapping[str, Any]]) -> Grid:
    rows = [
        (_named(name, row), f"{row['flops']:.2g}", percent(row["flops_share"]), f"{row['cpu_s']:.1f}", percent(row["cpu_share"]))
        for name, row in plans.items()
    ]
    heads = ("plan", "operations", "of always on", "CPU [s]", "of always on")
    return Grid("What it cost", "Encoders and LLM, over all drives.", heads, rows)


def _named(name: str, row: Mapping[str, Any]) -> str:
    return f"the best pair: {row['pair'].replace('+', ' + ')}" if "pair" in row else NAMES.get(name, f"{name} alone")
