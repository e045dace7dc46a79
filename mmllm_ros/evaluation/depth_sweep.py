# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy, FLOPs, time and memory for each number of linked blocks, and with gates closed.

All rows use the same weights; the row without linked blocks is the bare LLM.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from rich.progress import track
from rich.table import Table

from ..datasets.examples import Example
from ..latent.attention_adapter import LatentCache
from ..metrics.flops import count_flops
from ..metrics.statistics import interval
from ..model import Model

FORMAT = "mmllm_ros depths 1"
CLOSED_SHARES = (0.2, 0.4, 0.6)
"""Shares of the gates, the weakest ones, that are closed for the rows about pruning."""


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one configuration with everything plugged.

    `accuracy` with its 95 % interval. FLOPs and median time [ms] per frame (connectors) and per question (an answer with the
    text's lower blocks cached). `latent_bytes` is the size of the keys and values of one frame, `weight_bytes` that of the
    connectors' weights in use.
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
    """The table over `asked`: a row per depth, then rows with more and more gates closed. `model` is restored afterwards."""
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
        latent_cache = _plug(model, moment, depth)
        frame_s.append(time.perf_counter() - started)
        for question in moment.questions:
            # The first call fills the cache of the lower blocks.
            model.score(question.question, latent_cache)
            started = time.perf_counter()
            answer = model.score(question.question, latent_cache).answer
            question_s.append(time.perf_counter() - started)
            scenes.append(moment.scene)
            right.append(float(answer == question.answer))
    low, high = interval(scenes, right)
    last = next(moment for moment in reversed(asked) if moment.questions)
    latent_cache = _plug(model, last, depth)
    latents = [part for latent in latent_cache.values() for part in (latent.key, latent.value, latent.log_gate)]
    return Row(
        linked_blocks=depth,
        closed_gates=closed,
        accuracy=float(np.mean(right)),
        low=low,
        high=high,
        frame_flops=count_flops(lambda: _plug(model, last, depth)),
        question_flops=count_flops(lambda: model.score(last.questions[-1].question, latent_cache)),
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
    """The rows as a table for the terminal."""
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
