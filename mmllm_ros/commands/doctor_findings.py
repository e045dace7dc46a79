# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One thing that `mmllm doctor` looked at, and the table of all."""

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
    """`state` is ok, note (works, but look) or fault (blocks); `cure` is empty where all is well."""

    what: str
    state: str
    found: str
    cure: str = ""


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """One row a finding, the cure below what was found, and how many faults there are."""
    table = Table("", "looked at", "found", header_style="bold", box=None, padding=(0, 2, 0, 0))
    for finding in findings:
        cure = f"\n[bold]cure:[/bold] {escape(finding.cure)}" if finding.cure else ""
        table.add_row(f"[{_COLOURS[finding.state]}]{finding.state}[/]", escape(finding.what), escape(finding.found) + cure)
    console.print(table)
    faults, notes = (sum(finding.state == state for finding in findings) for state in (FAULT, NOTE))
    console.print(f"{faults} fault{'s' * (faults != 1)}, {notes} note{'s' * (notes != 1)}", style="red" if faults else "green")
