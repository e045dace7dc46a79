# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Asks a robot on the terminal: streams the answer, then shows its evidence as a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..datatypes import Answer, BadInput

if TYPE_CHECKING:
    from ..nodes.clients.ask_client import BlockingAskClient

HINT = "Type a question. An empty line ends the command, Ctrl-C cancels one question."


def ask_at_prompt(console: Console, robot: BlockingAskClient, timeout: float) -> Iterator[Answer]:
    """Ask questions from the prompt until an empty line or the end of the input. A refusal is printed, and the prompt returns."""
    with suppress(ImportError):
        import readline  # noqa: F401  arrow keys and earlier questions at the prompt
    console.print(HINT, style="dim")
    while question := _next_question(console):
        try:
            yield ask_and_show(console, robot, question, timeout)
        except BadInput as error:
            console.print(Text(str(error), style="red"))
        except KeyboardInterrupt:
            console.print("cancelled", style="dim")


def ask_and_show(console: Console, robot: BlockingAskClient, question: str, timeout: float) -> Answer:
    """Ask, stream the answer, then show it with its evidence. Raises BadInput with the node's refusal."""
    with Live(Text("...", style="dim"), console=console, transient=True, auto_refresh=False) as line:
        answer = robot.ask(question, timeout, lambda text: line.update(Text(text, style="cyan"), refresh=True))
    text = Text(answer.answer, style="bold cyan")
    text.append(f"  {answer.confidence:.0%} sure, after {1000 * answer.latency:.0f} ms", style="not bold default")
    console.print(text, soft_wrap=True)
    console.print(evidence_table(answer))
    return answer


def evidence_table(answer: Answer) -> Table:
    """One row per sensor in the evidence, and one per unplugged modality with the reason."""
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for heading in ("sensor", "age", ""):
        table.add_column(heading, justify="right" if heading == "age" else "left")
    for item in answer.evidence:
        name = item.modality if item.source == item.modality else f"{item.modality} {item.source}"
        table.add_row(name, f"{item.age:.2f} s", "plugged in", style="green")
    for modality, reason in answer.unplugged.items():
        table.add_row(modality, "", Text(reason), style="yellow")
    return table


def _next_question(console: Console) -> str:
    try:
        return console.input("[bold]you:[/bold] ").strip()
    except (EOFError, KeyboardInterrupt):
        return ""
