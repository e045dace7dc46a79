# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How well a model understands people: accuracy by wording, refusals, calibration, latency, memory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import psutil
from rich.progress import track
from rich.table import Table

from ..datasets.examples import Example
from ..datatypes import Question
from ..metrics.baselines import majority, ngram
from ..metrics.statistics import calibration_error, interval, reliability
from ..model import Model, Scored
from ..rig import Rig
from ..simulator.questions.everyday import CANNOT_TELL
from ..simulator.questions.out_of_scope import OUT_OF_SCOPE
from .accuracy import other_scene
from .robot_answers import robot_answers


def measure(model: Model, rig: Rig, asked: Sequence[Example], prior: Sequence[Question]) -> dict:
    """All figures of `model` on `asked` with everything connected; blind baselines learn from `prior`, training questions.

    Returns {"n", "scenes", "accuracy": {group: {"n", "right", "low", "high"}}, "blind": {name: share}, "wrong_frame", "gain",
    "refused": {"out of scope", "held out kinds", "answerable"}, "ece", "reliability", "latency": {"p50", "p95"}, "resident",
    "robot"}. Accuracies are of questions that can be answered. "robot" has those figures of what the robot says that may differ.
    """
    answers, seconds = _answers(model, asked)
    said, robot_seconds = robot_answers(model, rig, asked)
    pairs = [(moment, question) for moment in asked for question in moment.questions]
    answerable = [index for index, (_, question) in enumerate(pairs) if question.template_type != OUT_OF_SCOPE]
    questions = [pairs[index][1] for index in answerable]
    swapped, bare = (
        _right(questions, [answers[name][index].answer for index in answerable]) for name in ("other scene", "nothing")
    )
    blind = {"majority": majority(prior, questions), "blind n-gram": ngram(prior, questions)}
    floors = {name: float(np.mean(_right(questions, guesses))) for name, guesses in blind.items()}
    floors["blind LLM"] = float(np.mean(bare))
    strongest = max(floors.values())
    return {
        "model": model.name,
        "revision": model.revision,
        "n": len(questions),
        "scenes": len({pairs[index][0].scene for index in answerable}),
        "blind": floors,
        "wrong_frame": float(np.mean(swapped)),
        **_figures(pairs, answerable, answers["connected"], seconds, strongest),
        "resident": psutil.Process().memory_info().rss,
        "robot": _figures(pairs, answerable, said, robot_seconds, strongest),
    }


def _figures(
    pairs: Sequence[tuple[Example, Question]],
    answerable: Sequence[int],
    answers: Sequence[Scored],
    seconds: Sequence[float],
    strongest: float,
) -> dict:
    """What `answers` to the questions of `pairs` are worth; `strongest` is the accuracy of the best blind row."""
    questions = [pairs[index][1] for index in answerable]
    right = _right(questions, [answers[index].answer for index in answerable])
    curve = reliability([answers[index].confidence for index in answerable], right)
    return {
        "accuracy": _accuracies(questions, [pairs[index][0].scene for index in answerable], right),
        "gain": float(np.mean(right)) - strongest,
        "refused": _refused([question for _, question in pairs], answers),
        "ece": calibration_error(curve),
        "reliability": curve,
        "latency": {"p50": float(np.quantile(seconds, 0.5)), "p95": float(np.quantile(seconds, 0.95))},
    }


def _answers(model: Model, asked: Sequence[Example]) -> tuple[dict[str, list[Scored]], list[float]]:
    """The answers with everything connected, with the sensors of another scene, and with nothing; the seconds of the first."""
    found: dict[str, list[Scored]] = {"connected": [], "other scene": [], "nothing": []}
    seconds = []
    for moment, other in track(list(zip(asked, other_scene(asked), strict=True)), "answer"):
        latent_caches = {"other scene": model.latents(other.tokens), "nothing": {}}
        latent_cache = model.latents(moment.tokens)
        for question in moment.questions:
            started = time.perf_counter()
            found["connected"].append(model.score(question.question, latent_cache))
            seconds.append(time.perf_counter() - started)
            for name, other_bank in latent_caches.items():
                found[name].append(model.score(question.question, other_bank))
    return found, seconds


def _accuracies(questions: Sequence[Question], scenes: Sequence[str], right: Sequence[float]) -> dict[str, dict[str, float]]:
    """By group: all, each wording, each question type."""
    keys: dict[str, Callable[[Question], str]] = {
        "wording": lambda question: f"{question.details.get('language', 'template')} {question.details.get('wording', 'known')}",
        "held out": lambda question: question.details.get("held_out", ""),
        "type": lambda question: question.template_type,
    }
    rows: dict[str, list[int]] = {"all": list(range(len(questions)))}
    for name, key in keys.items():
        groups = defaultdict(list)
        for index, question in enumerate(questions):
            if value := key(question):
                groups[f"{name}: {value}"].append(index)
        rows |= dict(sorted(groups.items()))
    found = {}
    for name, indices in rows.items():
        hits = [right[index] for index in indices]
        low, high = interval([scenes[index] for index in indices], hits)
        found[name] = {"n": len(hits), "right": float(np.mean(hits)), "low": low, "high": high}
    return found


def _refused(questions: Sequence[Question], answers: Sequence[Scored]) -> dict[str, float]:
    """Share of questions that were answered "cannot tell": those out of scope, of kinds never trained on, and answerable ones."""
    groups: dict[str, list[bool]] = {"out of scope": [], "held out kinds": [], "answerable": []}
    for question, value in zip(questions, [item.answer == CANNOT_TELL for item in answers], strict=True):
        if question.template_type != OUT_OF_SCOPE:
            groups["answerable"].append(value)
            continue
        groups["out of scope"].append(value)
        if question.details.get("wording") == "held out":
            groups["held out kinds"].append(value)
    return {name: float(np.mean(values)) for name, values in groups.items() if values}


def table(report: dict) -> Table:
    """The figures for people."""
    robot = report["robot"]
    view = Table(title=f"{report['model']} {report['revision']}: {report['n']} questions, {report['scenes']} scenes")
    for heading in ("", "questions", "model alone", "95 %", "as the robot says it", "95 %"):
        view.add_column(heading, justify="left" if not heading else "right")
    for name, row in report["accuracy"].items():
        view.add_row(name, str(row["n"]), *_share_and_interval(row), *_share_and_interval(robot["accuracy"][name]))
    for name, share in {**report["blind"], "sensors of another scene": report["wrong_frame"]}.items():
        view.add_row(name, "", f"{100 * share:.1f}", style="dim")
    parts = (_line("model alone", report), _line("robot", robot), f"resident {report['resident'] / 1e9:.2f} GB")
    view.caption = "\n".join(parts)
    return view


def _share_and_interval(row: dict) -> tuple[str, str]:
    return f"{100 * row['right']:.1f}", f"{100 * row['low']:.1f}-{100 * row['high']:.1f}"


def _line(name: str, figures: dict) -> str:
    refused = ", ".join(f"{group} {100 * share:.1f} %" for group, share in figures["refused"].items())
    return (
        f"{name}: gain over the strongest blind row {100 * figures['gain']:+.1f} points, ECE {figures['ece']:.3f}; "
        f"refused: {refused}; answer p50 {1000 * figures['latency']['p50']:.0f} ms, p95 {1000 * figures['latency']['p95']:.0f} ms"
    )


def _right(questions: Sequence[Question], answers: Sequence[str]) -> list[float]:
    return [float(question.answer == answer) for question, answer in zip(questions, answers, strict=True)]
