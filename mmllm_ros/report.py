# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An answer told: to a program as one JSON record, to a person as two lines with the evidence."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from .datatypes import Answer, BadInput


def record(answer: Answer, truth: str | None = None) -> dict[str, Any]:
    """What --json writes for one answer. `truth` is the true answer, None where nobody knows it."""
    evidence = [{"modality": e.modality, "source": e.source, "stamp": e.stamp, "age": e.age} for e in answer.evidence]
    return {
        "question": answer.question,
        "answer": answer.answer,
        "truth": truth,
        "confidence": answer.confidence,
        "latency": answer.latency,
        "stamp": answer.stamp,
        "evidence": evidence,
        "unplugged": [{"modality": modality, "reason": reason} for modality, reason in answer.unplugged.items()],
        "model": answer.model,
        "revision": answer.revision,
    }


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """One record a line; missing folders are made. Raises BadInput where `path` cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(item) + "\n" for item in records))
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error


def print_answer(console: Console, answer: Answer, truth: str | None = None) -> None:
    """Question, answer and confidence; then every sensor reading with its age, and why the others were out."""
    console.print(f"[bold]{escape(answer.question)}[/bold]  [cyan]{escape(answer.answer)}[/cyan]  {_verdict(answer, truth)}")
    used = [f"{escape(_name(e.modality, e.source))} {e.age:.2f} s" for e in answer.evidence]
    out = [f"{escape(modality)} ({escape(reason)})" for modality, reason in answer.unplugged.items()]
    without = f"; without {', '.join(out)}" if out else ""
    latency = f"{1000 * answer.latency:.0f} ms"
    console.print(f"  [dim]rests on {', '.join(used) or 'no sensor'}{without}; took {latency}[/dim]", highlight=False)


def _verdict(answer: Answer, truth: str | None) -> str:
    certain = f"{100 * answer.confidence:.0f} %"
    if truth is None:
        return certain
    return f"{certain}  [green]true[/green]" if truth == answer.answer else f"{certain}  [red]in truth {escape(truth)}[/red]"


def _name(modality: str, source: str) -> str:
    return modality if source == modality else f"{modality} {source}"
