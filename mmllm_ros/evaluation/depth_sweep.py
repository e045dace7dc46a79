# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What each number of linked blocks, and each closed gate, costs and brings: accuracy, FLOPs, time, memory.

One set of weights serves every row of the table (papers.md 4.3); no linked block is the bare LLM.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from rich.progress import track
from rich.table import Table

from ..datasets.simulated import Example
from ..latent.attention_adapter import LatentCache
from ..metrics.flops import count_flops
from ..metrics.statistics import interval
from ..model import Model

FORMAT = "mmllm_ros depths 1"
CLOSED_SHARES = (0.2, 0.4, 0.6)
"""Of all gates, the weakest so many are closed for the rows about pruning."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to answer with everything plugged.

    `accuracy` with its 95 % interval; per frame what the connectors make of its tokens, per question an answer with the text's
    lower blocks kept: FLOPs and median time [ms]. `latent_bytes` is what one frame keeps in memory for all its questions,
    `weight_bytes` the connectors' weights that are in use.
    """

    linked_blocks: int
    closed_gates: int
    accuracy: float
    low: float
    high: float
    frame_flops: int
    question_flops: int
    frame_ms: float
    question_ms: float
    latent_bytes: int
    weight_bytes: int


def measure(model: Model, asked: Sequence[Example]) -> dict:
    """The table over `asked`, a row per depth and then rows with ever more gates closed. `model` is left as it was."""
    rows = [_row(model, asked, depth, 0) for depth in range(model.linked_blocks + 1)]
    gates = {name: connector.log_gate.detach().clone() for name, connector in model.connectors.items()}
    ascending = torch.cat([gate.flatten() for gate in gates.values()]).sort().values
    try:
        for share in CLOSED_SHARES:
            below = float(ascending[int(share * len(ascending))])
            closed = sum(connector.prune(below) for connector in model.connectors.values())
            rows.append(_row(model, asked, model.linked_blocks, closed))
    finally:
        with torch.no_grad():
            for name, gate in gates.items():
                model.connectors[name].log_gate.copy_(gate)
    questions = sum(len(moment.questions) for moment in asked)
    return {
        "format": FORMAT,
        "model": model.name,
        "revision": model.revision,
        "questions": questions,
        "rows": [asdict(row) for row in rows],
    }


def _row(model: Model, asked: Sequence[Example], depth: int, closed: int) -> Row:
    scenes, right, frame_s, question_s = [], [], [], []
    for moment in track(asked, f"{depth} linked blocks" + (f", {closed} gates closed" if closed else "")):
        started = time.perf_counter()
        bank = _plug(model, moment, depth)
        frame_s.append(time.perf_counter() - started)
        for question in moment.questions:
            # Once to have the lower blocks' states, as a question asked again does.
            model.score(question.question, bank)
            started = time.perf_counter()
            answer = model.score(question.question, bank).answer
            question_s.append(time.perf_counter() - started)
            scenes.append(moment.scene)
            right.append(float(answer == question.answer))
    low, high = interval(scenes, right)
    last = next(moment for moment in reversed(asked) if moment.questions)
    bank = _plug(model, last, depth)
    latents = [part for latent in bank.values() for part in (latent.key, latent.value, latent.log_gate)]
    return Row(
        linked_blocks=depth,
        closed_gates=closed,
        accuracy=float(np.mean(right)),
        low=low,
        high=high,
        frame_flops=count_flops(lambda: _plug(model, last, depth)),
        question_flops=count_flops(lambda: model.score(last.questions[-1].question, bank)),
        frame_ms=1e3 * float(np.median(frame_s)),
        question_ms=1e3 * float(np.median(question_s)),
        latent_bytes=sum(part.nbytes for part in latents),
        weight_bytes=_weights_in_use(model, depth),
    )


def _plug(model: Model, moment: Example, depth: int) -> LatentCache:
    return model.latents(moment.tokens, depth) if depth else {}


def _weights_in_use(model: Model, depth: int) -> int:
    total = 0
    for connector in model.connectors.values() if depth else ():
        reached = zip(connector.heads[-depth:], connector.log_gate[-depth:], strict=True)
        used = [head for head, gate in reached if not torch.isneginf(gate)]
        total += sum(part.nbytes for part in connector.parameters())
        total -= sum(part.nbytes for head in connector.heads if head not in used for part in head.parameters())
    return total


def table(report: dict) -> Table:
    """The rows for people."""
    view = Table(title=f"{report['model']} {report['revision']}: {report['questions']} questions, everything plugged")
    headings = ("linked blocks", "gates closed", "accuracy", "95 %", "MFLOP a frame", "a question", "ms a frame", "a question")
    for heading in (*headings, "KiB latents", "KiB weights"):
        view.add_column(heading, justify="right")
    for row in report["rows"]:
        view.add_row(
            str(row["linked_blocks"]),
            str(row["closed_gates"] or ""),
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['low']:.1f}-{100 * row['high']:.1f}",
            *(f"{row[kind] / 1e6:.1f}" for kind in ("frame_flops", "question_flops")),
            *(f"{row[kind]:.1f}" for kind in ("frame_ms", "question_ms")),
            *(f"{row[kind] / 1024:.0f}" for kind in ("latent_bytes", "weight_bytes")),
        )
    return view
