# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An answer as one JSON record for programs and as a few lines of text with the evidence for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.text import Text

from ..datatypes import Answer, BadInput
from .drawing import evidence_text


def record(answer: Answer, truth: str | None = None) -> dict[str, Any]:
    """One answer as a JSON-serializable record. `truth` is the true answer, None where it is unknown."""
    return {
        "question": answer.question,
        "answer": answer.answer,
        "truth": truth,
        "confidence": round(answer.confidence, 4),
        "latency": round(answer.latency, 4),
        "evidence": [
            {
                "modality": item.modality,
                "source": item.source,
                "stamp": item.stamp,
                "age": round(item.age, 3),
                **({"note": item.note} if item.note else {}),
            }
            for item in answer.evidence
        ],
        "unplugged": [{"modality": modality, "reason": reason} for modality, reason in answer.unplugged.items()],
        "model": answer.model,
        "revision": answer.revision,
    }


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON record per line and create missing folders. Raises BadInput where `path` cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(item) + "\n" for item in records))
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error


def answer_text(answer: Answer, truth: str = "", heading: str = "") -> Text:
    """Question, answer, whether it is right (with `truth`), evidence with ages, and the reason of each unplugged modality."""
    margin = "\n" + " " * (len(heading) + 2 if heading else 2)
    text = Text(f"{heading}  " if heading else "", style="dim")
    text.append(answer.question, style="bold not dim")
    right = answer.answer == truth
    style = "cyan" if not truth else "green" if right else "red"
    text.append(f"{margin}{answer.answer}", style=f"{style} not dim")
    text.append(f" ({answer.confidence:.0%} sure)")
    if truth:
        text.append(" right" if right else f" wrong, the truth is {truth}", style=f"{style} not dim")
    text.append(f"   from {evidence_text(answer)}; took {1000 * answer.latency:.0f} ms")
    for modality, reason in answer.unplugged.items():
        text.append(f"{margin}without {modality}: {reason}")
    return text
