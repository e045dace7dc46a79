# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For the other benchmarks: writes their results, and shows them as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table


def write_results(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")


def comparison_table(report: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """A column for each variant in `report`, a row for each of its figures."""
    table = Table("", *report, title=title)
    for row in dict.fromkeys(key for figures in report.values() for key in figures):
        table.add_row(escape(row), *(_text(figures.get(row, "")) for figures in report.values()))
    return table


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:.{0 if number >= 2 else 2}f}" for name, number in value.items())
    return f"{value:.2f}" if isinstance(value, float) else str(value)
