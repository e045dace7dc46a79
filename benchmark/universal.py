# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers of a model with the universal encoder, by kind of signal, on simulated test scenes.

    python benchmark/universal.py --model models/universal --work out/universal --json out/universal.json

Accuracy is balanced: the mean over the answers of a kind of question, then over the kinds that a signal alone answers. The best
guess from the words alone, always the same answer, gets one by the number of answers. Half of the wordings are held out.

"as the robot" connects the signals that the plan table of the model's folder and the words of the question choose.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mmllm_ros.config import LlmConfig
from mmllm_ros.datatypes import Plan, Tokens
from mmllm_ros.encoders import load_encoder
from mmllm_ros.encoders.universal.encoder import LAYOUTS, UniversalEncoder
from mmllm_ros.metrics.statistics import RESAMPLES, calibration_error, reliability
from mmllm_ros.model import Model
from mmllm_ros.question_policy import QuestionPolicy, question_policy
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.signal_moment import render_moment
from mmllm_ros.training.connectors import TokenTable
from mmllm_ros.training.universal.alignment import Labels, templates_of
from mmllm_ros.training.universal.calibration import log_probabilities, spread_over_scenes
from mmllm_ros.training.universal.moments import render_all
from mmllm_ros.training.universal.questions import Asked, Reading, connect, questions_about, tokens_of
from mmllm_ros.training.universal.stages import load_all
from mmllm_ros.training.universal.targets import TEMPLATES

QUESTIONS_AT_ONCE = 64
TIMED = 5
TIMED_QUESTIONS = 40
"""The CPU time of an answer is the mean over so many questions."""


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


class RobotChoice:
    """The signals that the robot connects for a question, all of them healthy and none encoded before; all without a policy."""

    def __init__(self, policy: QuestionPolicy | None, modalities: Sequence[str]) -> None:
        self._policy, self._all = policy, tuple(sorted(modalities))
        plugged = dict.fromkeys(self._all, True)
        self._plan = Plan(0, plugged, dict.fromkeys(self._all, "healthy"), "", 0, available=self._all)
        self._epsilon = LlmConfig().epsilon
        self._chosen: dict[str, tuple[str, ...]] = {}

    def __call__(self, wording: str) -> tuple[str, ...]:
        if self._policy is None:
            return self._all
        if wording not in self._chosen:
            self._chosen[wording] = self._policy.choose(wording, self._plan, (), self._epsilon).modalities
        return self._chosen[wording]


def answered_as_chosen(
    reading: Reading, tables: Mapping[str, TokenTable], asked: Sequence[Asked], choice: RobotChoice
) -> np.ndarray:
    """Which of the questions are right [Q], each with the signals that the robot connects for it."""
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, one in enumerate(asked):
        places[choice(one.wording)].append(place)
    right = np.zeros(len(asked))
    for chosen, members in places.items():
        right[members] = answered(reading, tables, [asked[place] for place in members], chosen)
    return right


def cpu_times(model: Model, encoder: UniversalEncoder, asked: Sequence[Asked], choice: RobotChoice) -> dict[str, float]:
    """Mean CPU seconds of an answer, encoding included, with the signals that the robot connects and with all."""
    spent = {"as the robot": 0.0, "all connected": 0.0}
    moments = {row: render_moment("test", row).frames() for row in {one.row for one in asked}}
    for one in asked:
        for which, kept in (("as the robot", choice(one.wording)), ("all connected", encoder.modalities)):
            model.clear_text_cache()
            begun = time.process_time()
            tokens: list[Tokens] = encoder.encode([signal for signal in moments[one.row] if signal.modality in kept])
            model.score(one.wording, model.latents(tokens))
            spent[which] += (time.process_time() - begun) / len(asked)
    return spent


def encode_times(encoder: UniversalEncoder) -> dict[str, float]:
    """Milliseconds to encode one signal of each kind, from the sensor's data to tokens, the shortest of TIMED."""
    found = {}
    for signal in render_moment("test", 0).frames():
        spent = []
        for _ in range(TIMED):
            begun = time.perf_counter()
            encoder.encode([signal])
            spent.append(time.perf_counter() - begun)
        found[signal.modality] = 1000 * min(spent)
    return found


def main() -> None:
    """Render, encode, answer, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/universal"))
    parser.add_argument("--work", type=Path, required=True, help="folder for rendered moments and read texts")
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--confidences", type=int, default=300, help="questions that the calibration error is measured on")
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

    choice = RobotChoice(question_policy(arguments.model, model, load_rig("signals"), print), encoder.modalities)

    def about(template_numbers: Sequence[int]) -> dict[str, list[Asked]]:
        return {which: [one for one in part if one.template in template_numbers] for which, part in asked.items()}

    def right(template_numbers: Sequence[int], connected: Sequence[str] | None, shift: int = 0) -> np.ndarray:
        """Which of the questions of these kinds are right, with the signals `connected`, None = as the robot connects them."""
        parts = []
        for which, part in about(template_numbers).items():
            if connected is None:
                parts.append(answered_as_chosen(readings[which], tables, part, choice))
            elif part:
                parts.append(answered(readings[which], tables, part, connected, shift))
        return np.concatenate(parts)

    def by_kind(template_numbers: Sequence[int], hits: np.ndarray) -> dict[str, dict]:
        flat, found = [one for part in about(template_numbers).values() for one in part], {}
        for number in template_numbers:
            own = [place for place, one in enumerate(flat) if one.template == number]
            found[TEMPLATES[number]] = asdict(score([flat[place] for place in own], hits[own]))
        return found

    rows = {}
    for modality in encoder.modalities:
        numbers = [n for n in templates_of(modality) if any(one.template == n for part in asked.values() for one in part)]
        guess = np.mean([1 / len({one.answer for part in asked.values() for one in part if one.template == n}) for n in numbers])
        flat = [one for part in about(numbers).values() for one in part]
        held_out = np.array([place >= len(about(numbers)["known"]) for place in range(len(flat))])
        alone, together, chosen = (right(numbers, kept) for kept in ([modality], encoder.modalities, None))
        better = max(alone, together, key=lambda hits: score(flat, hits).accuracy)
        rows[modality] = {
            "blind": float(guess),
            "bare LLM": asdict(score(flat, right(numbers, []))),
            "alone": asdict(score(flat, alone)),
            "all connected": asdict(score(flat, together)),
            "as the robot": asdict(score(flat, chosen)),
            "as the robot, held-out wordings": asdict(
                score([one for one, new in zip(flat, held_out, strict=True) if new], chosen[held_out])
            ),
            "as the robot, less the better": asdict(score(flat, chosen - better)),
            "signals connected": float(np.mean([len(choice(one.wording)) for one in flat])),
            "another scene": asdict(score(flat, right(numbers, [modality], shift=1))),
            "by kind": by_kind(numbers, alone),
            "by kind, all connected": by_kind(numbers, together),
            "by kind, as the robot": by_kind(numbers, chosen),
        }
    sample = spread_over_scenes([one for part in asked.values() for one in part], arguments.confidences, 0)
    confidence, guess = log_probabilities(model, tables, sample, everything=True).exp().max(-1)
    hits = [model.answers[number] == one.answer for number, one in zip(guess.tolist(), sample, strict=True)]
    error = calibration_error(reliability(confidence.tolist(), hits))
    times = encode_times(encoder)
    cpu = cpu_times(model, encoder, sample[:TIMED_QUESTIONS], choice)
    megabytes = sum(value.numel() * value.element_size() for value in encoder.parameters()) / 1e6
    table = Table(
        "signal", "questions", "blind", "alone", "gain", "all connected", "as the robot", "connected", "another scene", "ms"
    )
    for modality, row in rows.items():
        alone, gain = row["alone"], row["alone"]["accuracy"] - row["blind"]
        table.add_row(
            modality,
            str(alone["questions"]),
            f"{row['blind']:.1%}",
            f"{alone['accuracy']:.1%} ({alone['low']:.1%} to {alone['high']:.1%})",
            f"{100 * gain:+.1f}",
            f"{row['all connected']['accuracy']:.1%}",
            f"{row['as the robot']['accuracy']:.1%}",
            f"{row['signals connected']:.1f}",
            f"{row['another scene']['accuracy']:.1%}",
            f"{times[modality]:.0f}",
        )
    console = Console(width=130)
    console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    console.print(
        f"weights of the encoder in memory {megabytes:.1f} MB for all signals; peak memory of this process {peak:.0f} MB"
    )
    console.print(
        f"CPU of an answer with encoding, {len(sample[:TIMED_QUESTIONS])} questions: {1000 * cpu['as the robot']:.0f} ms as the "
        f"robot connects the signals, {1000 * cpu['all connected']:.0f} ms with all"
    )
    console.print(
        f"all connected, {len(sample)} questions: {np.mean(hits):.1%} right, mean confidence {confidence.mean():.1%}, expected "
        f"calibration error {error:.1%} at temperature {model.temperature:.2f}"
    )
    if arguments.json:
        content = {
            "scenes": len(moments),
            "model": model.revision,
            "modalities": rows,
            "calibration": {
                "questions": len(sample),
                "right": float(np.mean(hits)),
                "confidence": float(confidence.mean()),
                "ece": error,
                "temperature": model.temperature,
            },
            "encode_ms": times,
            "cpu_s": cpu,
            "encoder_mb": megabytes,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
