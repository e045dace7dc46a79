# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of the answers by set of modalities, with baselines that separate perception from prior knowledge.

Blind baselines on the same questions: the most frequent answer, a regression on the question's words, and the LLM with nothing
plugged. `wrong_frame` plugs the sensors of another scene.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from rich.progress import track
from rich.table import Table

from ..datasets.examples import Example, modality_sets
from ..datatypes import Question
from ..metrics.baselines import majority, ngram, oracle, per_type
from ..metrics.statistics import calibration_error, interval, reliability
from ..model import Model, Scored

matplotlib.use("Agg")
from matplotlib import pyplot

MISTAKES = 12
"""Number of wrong answers in the report, the most confident ones."""


def evaluate(
    model: Model, asked: Sequence[Example], prior: Sequence[Question], blind: Mapping[str, Sequence[str]] | None = None
) -> dict:
    """All figures of `model` on `asked`; the blind baselines are fitted on `prior`, questions of training scenes.

    `blind` replaces their answers: "majority" and "blind_ngram", an answer for each question.

    Returns {"n", "majority", "blind_ngram", "blind_llm", "wrong_frame", "ece", "sets": {"camera+imu": {"overall",
    "low", "high", "spans", "oracle", type ..., "hops", "directions", "wordings", "contexts", "cost"}}, "reliability",
    "mistakes"}; accuracies between 0 and 1.
    """
    questions = [question for moment in asked for question in moment.questions]
    asked_with = {subset: _answers(model, asked, subset) for subset in modality_sets(model.modalities)}
    scored = {subset: answers for subset, (answers, _) in asked_with.items()}
    full = tuple(sorted(model.modalities))
    guesses = blind or {"majority": majority(prior, questions), "blind_ngram": ngram(prior, questions)}
    floors = {name: _share(questions, answers) for name, answers in guesses.items()}
    floors["blind_llm"] = _share(questions, [item.answer for item in scored[()]])
    swapped = [item.answer for item in _answers(model, other_scene(asked), full)[0]]
    right = _right(questions, [item.answer for item in scored[full]])
    calibration = reliability([item.confidence for item in scored[full]], right)
    sets = {
        "+".join(subset) or "none": _breakdown(questions, asked, [s.answer for s in answers], subset, guesses["blind_ngram"])
        for subset, answers in scored.items()
    }
    for subset, (_, seconds) in asked_with.items():
        sets["+".join(subset) or "none"]["cost"] = _cost(asked, subset, seconds)
    strongest = max(floors.values())
    return {
        "n": len(questions),
        "scenes": len({moment.scene for moment in asked}),
        **floors,
        "wrong_frame": _share(questions, swapped),
        "ece": calibration_error(calibration),
        "gain_over_blind": sets["+".join(full)]["overall"] - strongest,
        "floors": {name: per_type(questions, _right(questions, answers)) for name, answers in guesses.items()},
        "sets": sets,
        "reliability": calibration,
        "mistakes": _mistakes(asked, scored[full]),
        "model": model.name,
        "revision": model.revision,
    }


def _answers(model: Model, asked: Sequence[Example], plugged: tuple[str, ...]) -> tuple[list[Scored], list[float]]:
    """The answers with `plugged`, and the seconds that the first question of each moment took, tokens to answer."""
    results, seconds = [], []
    for moment in track(asked, f"answer with {'+'.join(plugged) or 'nothing'}"):
        started = time.perf_counter()
        latent_cache = model.latents([tokens for tokens in moment.tokens if tokens.modality in plugged])
        for index, question in enumerate(moment.questions):
            results.append(model.score(question.question, latent_cache))
            if not index:
                seconds.append(time.perf_counter() - started)
    return results, seconds


def _cost(asked: Sequence[Example], plugged: tuple[str, ...], seconds: Sequence[float]) -> dict[str, float]:
    """Cost of a set: mean number of plugged tokens, and the time from tokens to an answer [s], on this machine."""
    counts = [sum(len(tokens.values) for tokens in moment.tokens if tokens.modality in plugged) for moment in asked]
    middle, late = np.quantile(seconds, (0.5, 0.95)) if seconds else (0.0, 0.0)
    return {"tokens": float(np.mean(counts)), "p50": float(middle), "p95": float(late)}


def _mistakes(asked: Sequence[Example], scored: Sequence[Scored]) -> list[dict]:
    """The wrong answers with the highest confidence; "moment" is the index in `asked`."""
    pairs = [(index, question) for index, moment in enumerate(asked) for question in moment.questions]
    wrong = [(item, *pair) for item, pair in zip(scored, pairs, strict=True) if item.answer != pair[1].answer]
    wrong.sort(key=lambda entry: -entry[0].confidence)
    return [
        {"question": question.question, "answer": item.answer, "truth": question.answer, "confidence": item.confidence,
         "type": question.template_type, "context": asked[index].context, "scene": asked[index].scene, "moment": index}
        for item, index, question in wrong[:MISTAKES]
    ]  # fmt: skip


def other_scene(asked: Sequence[Example]) -> list[Example]:
    """The same questions, each with the tokens of the example half the list away."""
    shift = max(1, len(asked) // 2)
    return [
        Example(moment.scene, moment.context, asked[(index + shift) % len(asked)].tokens, moment.questions)
        for index, moment in enumerate(asked)
    ]


def _right(questions: Sequence[Question], answers: Sequence[str]) -> list[float]:
    return [float(question.answer == answer) for question, answer in zip(questions, answers, strict=True)]


def _share(questions: Sequence[Question], answers: Sequence[str]) -> float:
    return float(np.mean(_right(questions, answers)))


def _breakdown(
    questions: Sequence[Question],
    asked: Sequence[Example],
    answers: Sequence[str],
    plugged: tuple[str, ...],
    blind: Sequence[str],
) -> dict:
    right = _right(questions, answers)
    scenes = [moment.scene for moment in asked for _ in moment.questions]
    contexts = [moment.context for moment in asked for _ in moment.questions]
    low, high = interval(scenes, right)
    return {
        **per_type(questions, right),
        "low": low,
        "high": high,
        "spans": _spans(questions, scenes, right),
        "oracle": per_type(questions, oracle(questions, plugged, blind)),
        "hops": _by(questions, right, lambda question: str(question.num_hop)),
        "directions": _by(questions, right, lambda question: question.details.get("direction", "")),
        "wordings": _by(questions, right, lambda question: question.details.get("wording", "")),
        "contexts": _grouped(contexts, right),
        "types_by_context": {
            context: per_type(
                *zip(*((q, r) for q, r, c in zip(questions, right, contexts, strict=True) if c == context), strict=True)
            )
            for context in sorted(set(contexts))
        },
    }


def _spans(questions: Sequence[Question], scenes: Sequence[str], right: Sequence[float]) -> dict[str, tuple[float, float]]:
    """The interval of each question type."""
    kinds = [question.template_type for question in questions]
    rows = {kind: [(scene, hit) for scene, hit, k in zip(scenes, right, kinds, strict=True) if k == kind] for kind in kinds}
    return {kind: interval(*zip(*pairs, strict=True)) for kind, pairs in sorted(rows.items())}


def _by(questions: Sequence[Question], right: Sequence[float], key: Callable[[Question], str]) -> dict[str, float]:
    return _grouped([key(question) for question in questions], right)


def _grouped(names: Sequence[str], right: Sequence[float]) -> dict[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for name, value in zip(names, right, strict=True):
        if name:
            groups[name].append(value)
    return {name: float(np.mean(values)) for name, values in sorted(groups.items())}


def plot_reliability(report: dict, path: Path) -> None:
    """Reliability diagram: accuracy against confidence, with the share of answers in each bin."""
    rows = report["reliability"]
    figure, axis = pyplot.subplots(figsize=(4.5, 4.5))
    axis.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="perfectly calibrated")
    axis.plot([row["confidence"] for row in rows], [row["right"] for row in rows], marker="o", label="measured")
    axis.bar(
        [row["confidence"] for row in rows], [row["share"] for row in rows], width=0.06, alpha=0.25, label="share of answers"
    )
    axis.set(xlabel="confidence", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1.02))
    axis.set_title(f"{report['model']}: ECE {report['ece']:.3f} over {report['n']} answers", fontsize=10)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def table(report: dict) -> Table:
    """The accuracies as a table for the terminal: the blind baselines, then one row per modality set."""
    types = sorted(report["floors"]["majority"].keys() - {"overall"})
    view = Table(
        title=f"{report['model']} {report['revision']}: {report['n']} questions, {report['scenes']} scenes never trained on"
    )
    for heading in ("plugged", "overall", "95 %", *types):
        view.add_column(heading, justify="left" if heading == "plugged" else "right")
    for name, floor in report["floors"].items():
        view.add_row(
            name.replace("_", " "), _percent(floor["overall"]), "", *(_percent(floor.get(kind)) for kind in types), style="dim"
        )
    for name, row in report["sets"].items():
        span = f"{100 * row['low']:.1f}-{100 * row['high']:.1f}"
        view.add_row(name, _percent(row["overall"]), span, *(_percent(row.get(kind)) for kind in types))
    view.add_row("sensors of another scene", _percent(report["wrong_frame"]), "", *("" for _ in types), style="dim")
    view.caption = f"gain over the strongest blind row {100 * report['gain_over_blind']:+.1f} points, ECE {report['ece']:.3f}"
    return view


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
