# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How often the answers are right, with which modalities, and how much of that is perception rather than prior.

Every figure comes with what a model that sees nothing would score on the same questions: the commonest answer, a regression
on the question's words, and the LLM with nothing plugged. `wrong_frame` plugs the sensors of another scene.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from rich.progress import track
from rich.table import Table

from .baselines import majority, ngram, oracle, per_type
from .datatypes import Question
from .model import Model, Scored
from .question_sets import Asked, modality_sets

matplotlib.use("Agg")
from matplotlib import pyplot

BINS = 10
RESAMPLES = 1000


def evaluate(model: Model, asked: Sequence[Asked], prior: Sequence[Question]) -> dict:
    """All figures of `model` on `asked`; the blind baselines learn from `prior`, questions of training scenes.

    Returns {"n", "majority", "blind_ngram", "blind_llm", "wrong_frame", "ece", "sets": {"camera+imu": {"overall",
    "low", "high", "oracle", type ..., "hops", "directions", "contexts"}}, "reliability"}; accuracies between 0 and 1.
    """
    questions = [question for moment in asked for question in moment.questions]
    scored = {subset: _answers(model, asked, subset) for subset in modality_sets(model.modalities)}
    full = tuple(sorted(model.modalities))
    guesses = {"majority": majority(prior, questions), "blind_ngram": ngram(prior, questions)}
    floors = {name: _share(questions, answers) for name, answers in guesses.items()}
    floors["blind_llm"] = _share(questions, [item.answer for item in scored[()]])
    swapped = [item.answer for item in _answers(model, _other_scene(asked), full)]
    calibration = reliability(questions, scored[full])
    sets = {
        "+".join(subset) or "none": _breakdown(questions, asked, [s.answer for s in answers], subset, guesses["blind_ngram"])
        for subset, answers in scored.items()
    }
    strongest = max(floors.values())
    return {
        "n": len(questions),
        "scenes": len({moment.scene for moment in asked}),
        **floors,
        "wrong_frame": _share(questions, swapped),
        "ece": float(sum(row["share"] * abs(row["right"] - row["confidence"]) for row in calibration)),
        "gain_over_blind": sets["+".join(full)]["overall"] - strongest,
        "floors": {name: per_type(questions, _right(questions, answers)) for name, answers in guesses.items()},
        "sets": sets,
        "reliability": calibration,
        "model": model.name,
        "revision": model.revision,
    }


def _answers(model: Model, asked: Sequence[Asked], plugged: tuple[str, ...]) -> list[Scored]:
    results = []
    for moment in track(asked, f"answer with {'+'.join(plugged) or 'nothing'}"):
        bank = model.latents([tokens for tokens in moment.tokens if tokens.modality in plugged])
        results += [model.score(question.question, bank) for question in moment.questions]
    return results


def _other_scene(asked: Sequence[Asked]) -> list[Asked]:
    """The same questions, each moment with the tokens of the moment half the list away."""
    shift = max(1, len(asked) // 2)
    return [
        Asked(moment.scene, moment.context, asked[(index + shift) % len(asked)].tokens, moment.questions)
        for index, moment in enumerate(asked)
    ]


def _right(questions: Sequence[Question], answers: Sequence[str]) -> list[float]:
    return [float(question.answer == answer) for question, answer in zip(questions, answers, strict=True)]


def _share(questions: Sequence[Question], answers: Sequence[str]) -> float:
    return float(np.mean(_right(questions, answers)))


def _breakdown(
    questions: Sequence[Question], asked: Sequence[Asked], answers: Sequence[str], plugged: tuple[str, ...], blind: Sequence[str]
) -> dict:
    right = _right(questions, answers)
    scenes = [moment.scene for moment in asked for _ in moment.questions]
    contexts = [moment.context for moment in asked for _ in moment.questions]
    low, high = interval(scenes, right)
    return {
        **per_type(questions, right),
        "low": low,
        "high": high,
        "oracle": per_type(questions, oracle(questions, plugged, blind)),
        "hops": _by(questions, right, lambda question: str(question.num_hop)),
        "directions": _by(questions, right, lambda question: question.details.get("direction", "")),
        "contexts": _grouped(contexts, right),
        "types_by_context": {
            context: per_type(
                *zip(*((q, r) for q, r, c in zip(questions, right, contexts, strict=True) if c == context), strict=True)
            )
            for context in sorted(set(contexts))
        },
    }


def _by(questions: Sequence[Question], right: Sequence[float], key: Callable[[Question], str]) -> dict[str, float]:
    return _grouped([key(question) for question in questions], right)


def _grouped(names: Sequence[str], right: Sequence[float]) -> dict[str, float]:
    groups: dict[str, list[float]] = defaultdict(list)
    for name, value in zip(names, right, strict=True):
        if name:
            groups[name].append(value)
    return {name: float(np.mean(values)) for name, values in sorted(groups.items())}


def interval(scenes: Sequence[str], right: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval of the mean of `right`, by bootstrap over scenes: questions of one scene are not independent."""
    groups: dict[str, list[float]] = defaultdict(list)
    for scene, value in zip(scenes, right, strict=True):
        groups[scene].append(value)
    sums, sizes = np.array([(sum(values), len(values)) for values in groups.values()]).T
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def reliability(questions: Sequence[Question], scored: Sequence[Scored]) -> list[dict[str, float]]:
    """Per bin of confidence: the share of questions, mean confidence, and how often the answer was right (arXiv 1706.04599)."""
    confidence = np.array([item.confidence for item in scored])
    right = np.array(_right(questions, [item.answer for item in scored]))
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "share": float(np.mean(place == index)),
            "confidence": float(confidence[place == index].mean()),
            "right": float(right[place == index].mean()),
        }
        for index in range(BINS)
        if (place == index).any()
    ]


def plot_reliability(report: dict, path: Path) -> None:
    """How often an answer was right against how sure it was, with the share of answers in each bin."""
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
    """The accuracies for people: one row per modality set, after the floors."""
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
