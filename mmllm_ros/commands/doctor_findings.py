# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A finding of `mmllm doctor`, and the table of all findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

OK, NOTE, FAULT = "ok", "note", "fault"
_COLOURS = {OK: "green", NOTE: "yellow", FAULT: "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is ok, note (works with a restriction) or fault (prevents answers); `cure` is empty for ok."""

    what: str
    state: str
    found: str
    cure: str = ""


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print one row per finding with its cure, and the numbers of faults and notes."""
    table = Table("", "checked", "found", header_style="bold", box=None, padding=(0, 2, 0, 0))
    for finding in findings:
        cure = f"\n[bold]cure:[/bold] {escape(finding.cure)}" if finding.cure else ""
        table.add_row(f"[{_COLOURS[finding.state]}]{finding.state}[/]", escape(finding.what), escape(finding.found) + cure)
    console.print(table)
    faults, notes = (sum(finding.state == state for finding in findings) for state in (FAULT, NOTE))
    console.print(f"{faults} fault{'s' * (faults != 1)}, {notes} note{'s' * (notes != 1)}", style="red" if faults else "green")
