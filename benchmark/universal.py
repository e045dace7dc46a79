# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers of a model with the universal encoder, by kind of signal, on simulated test scenes.

    python benchmark/universal.py --model models/universal --work out/universal --json out/universal.json

Accuracy is balanced: the mean over the answers of a kind of question, then over the kinds that a signal alone answers. The best
guess from the words alone, always the same answer, gets one by the number of answers. Half of the wordings are held out.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mmllm_ros.datatypes import Signal
from mmllm_ros.encoders import load_encoder
from mmllm_ros.encoders.universal.encoder import LAYOUTS, UniversalEncoder
from mmllm_ros.metrics.statistics import RESAMPLES
from mmllm_ros.model import Model
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.signal_moment import render_moment
from mmllm_ros.training.connectors import TokenTable
from mmllm_ros.training.universal.alignment import Labels, templates_of
from mmllm_ros.training.universal.moments import render_all
from mmllm_ros.training.universal.questions import Asked, Reading, connect, questions_about, tokens_of
from mmllm_ros.training.universal.stages import load_all
from mmllm_ros.training.universal.targets import TEMPLATES

QUESTIONS_AT_ONCE = 64
TIMED = 5


@dataclass(frozen=True)
class Score:
    """Balanced accuracy with its 95 % interval by bootstrap over scenes, and the number of questions."""

    accuracy: float
    low: float
    high: float
    questions: int


def score(asked: Sequence[Asked], right: np.ndarray) -> Score:
    """The balanced accuracy of `right` [Q]."""
    cells = {pair: number for number, pair in enumerate(sorted({(one.template, one.answer) for one in asked}))}
    cell = np.array([cells[one.template, one.answer] for one in asked])
    templates = np.array([template for template, _ in cells])
    scenes, scene = np.unique([one.row for one in asked], return_inverse=True)
    hits, counts = np.zeros((len(scenes), len(cells))), np.zeros((len(scenes), len(cells)))
    np.add.at(hits, (scene, cell), right)
    np.add.at(counts, (scene, cell), 1.0)

    def balanced(rows: np.ndarray) -> float:
        total = counts[rows].sum(0)
        share = hits[rows].sum(0) / np.maximum(total, 1)
        means = [share[mask].mean() for t in np.unique(templates) if (mask := (templates == t) & (total > 0)).any()]
        return float(np.mean(means))

    rng = np.random.default_rng(0)
    drawn = [balanced(rng.integers(len(scenes), size=len(scenes))) for _ in range(RESAMPLES)]
    return Score(balanced(np.arange(len(scenes))), *(float(np.quantile(drawn, q)) for q in (0.025, 0.975)), len(asked))


@torch.inference_mode()
def answered(
    reading: Reading, tables: Mapping[str, TokenTable], asked: Sequence[Asked], connected: Sequence[str], shift: int = 0
) -> np.ndarray:
    """Which of the questions are right [Q], with the modalities `connected`, of another scene with `shift`."""
    right = []
    scenes = len(next(iter(tables.values())).values)
    for start in range(0, len(asked), QUESTIONS_AT_ONCE):
        part = asked[start : start + QUESTIONS_AT_ONCE]
        rows = torch.tensor([(one.row + shift) % scenes for one in part])
        latents = connect(reading.model.connectors, tables, rows, connected) if connected else {}
        right.append(reading.loss(part, latents)[1].numpy())
    return np.concatenate(right).astype(float)


def encode_times(encoder: UniversalEncoder) -> dict[str, float]:
    """Milliseconds to encode one signal of each kind, from the sensor's data to tokens, the shortest of TIMED."""
    moment, found = render_moment("test", 0), {}
    for kind in encoder.modalities:
        signal, spent = Signal(kind, 0, kind, moment.signals[kind]), []
        for _ in range(TIMED):
            begun = time.perf_counter()
            encoder.encode([signal])
            spent.append(time.perf_counter() - begun)
        found[kind] = 1000 * min(spent)
    return found


def main() -> None:
    """Render, encode, answer, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/universal"))
    parser.add_argument("--work", type=Path, required=True, help="folder for rendered moments and read texts")
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    moments = load_all(render_all(arguments.work / "moments", "test", 0, arguments.scenes, LAYOUTS))
    model = Model.load(arguments.model, "cpu")
    encoder = load_encoder(arguments.model / "encoders" / model.modalities[0], load_rig("front"), "cpu")
    labels = Labels.of(moments.answers)
    readings = {which: Reading(model, labels.names, which, arguments.work) for which in ("known", "held_out")}
    tables = tokens_of(encoder, moments, flip=False)
    asked = {
        which: [one for one in questions_about(moments, labels, which, 0) if one.row % 2 == parity and reading.has(one)]
        for parity, (which, reading) in enumerate(readings.items())
    }

    def scored(template_numbers: Sequence[int], connected: Sequence[str], shift: int = 0) -> Score:
        chosen = {which: [one for one in part if one.template in template_numbers] for which, part in asked.items()}
        right = [answered(readings[which], tables, part, connected, shift) for which, part in chosen.items() if part]
        return score([one for part in chosen.values() for one in part], np.concatenate(right))

    rows = {}
    for modality in encoder.modalities:
        numbers = [n for n in templates_of(modality) if any(one.template == n for part in asked.values() for one in part)]
        guess = np.mean([1 / len({one.answer for part in asked.values() for one in part if one.template == n}) for n in numbers])
        rows[modality] = {
            "blind": float(guess),
            "bare LLM": asdict(scored(numbers, [])),
            "alone": asdict(scored(numbers, [modality])),
            "all connected": asdict(scored(numbers, encoder.modalities)),
            "another scene": asdict(scored(numbers, [modality], shift=1)),
            "by kind": {TEMPLATES[n]: asdict(scored([n], [modality])) for n in numbers},
        }
    times = encode_times(encoder)
    megabytes = sum(value.numel() * value.element_size() for value in encoder.parameters()) / 1e6
    table = Table("signal", "questions", "blind", "alone", "gain", "all connected", "another scene", "ms")
    for modality, row in rows.items():
        alone, gain = row["alone"], row["alone"]["accuracy"] - row["blind"]
        table.add_row(
            modality,
            str(alone["questions"]),
            f"{row['blind']:.1%}",
            f"{alone['accuracy']:.1%} ({alone['low']:.1%} to {alone['high']:.1%})",
            f"{100 * gain:+.1f}",
            f"{row['all connected']['accuracy']:.1%}",
            f"{row['another scene']['accuracy']:.1%}",
            f"{times[modality]:.0f}",
        )
    console = Console(width=130)
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    console.print(
        f"weights of the encoder in memory {megabytes:.1f} MB for all signals; peak memory of this process {peak:.0f} MB"
    )
    if arguments.json:
        content = {
            "scenes": len(moments),
            "model": model.revision,
            "modalities": rows,
            "encode_ms": times,
            "encoder_mb": megabytes,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
