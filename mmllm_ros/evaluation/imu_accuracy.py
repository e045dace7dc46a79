# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of the IMU alone on the motion of the vehicle, with and without the estimated mounting, beside the blind LLM."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from rich.progress import track
from rich.table import Table

from ..datasets.ego_motion import MotionMoment
from ..encoders import Encoder
from ..metrics.statistics import RESAMPLES
from ..model import Model
from ..simulator.questions.scene_graph import moving, speed_change, turn

STRAIGHT, TURN = 0.03, 0.08
"""Yaw rates [rad/s] below and above which the vehicle goes straight and turns, as in the simulator's questions."""


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _turn(moment: MotionMoment) -> str | None:
    if moment.turning is None:
        return turn(moment.truth)
    if moment.turning >= TURN:
        return "turning"
    return "going straight" if moment.turning <= STRAIGHT else None


QUESTIONS: dict[str, Callable[[MotionMoment], str | None]] = {
    "Am I moving?": lambda moment: _yes_no(moving(moment.truth)),
    "Am I accelerating?": lambda moment: _yes_no(speed_change(moment.truth, 1.0)),
    "Am I braking?": lambda moment: _yes_no(speed_change(moment.truth, -1.0)),
    "Am I turning left, turning right or going straight?": _turn,
}
"""The questions, with their true answer at a moment, None where it is not clear."""


def measure(model: Model, encoder: Encoder, moments: Sequence[MotionMoment]) -> dict:
    """Ask every question at every moment where its answer is clear.

    Returns {"model", "revision", "moments", "scenes", "known": share of moments with a known tilt, "rows": {row: {question:
    {"n": {answer: count}, "right": balanced accuracy, "low", "high", "recall": {answer: share}}}}}. The rows: "as estimated" (the
    robot's way), "tilt known" (its moments with a known tilt), "not corrected" and "blind LLM". The balanced accuracy is the mean
    over the true answers of the share that is right; its 95 % interval is a bootstrap over scenes.
    """
    plain = [replace(moment, window=replace(moment.window, mounting=None)) for moment in moments]
    known = [bool(moment.window.mounting and moment.window.mounting.known) for moment in moments]
    estimated = _answers(model, encoder, moments, "answer")
    rows = {
        "as estimated": _rates(moments, estimated),
        "tilt known": _rates(
            [moment for moment, sure in zip(moments, known, strict=True) if sure],
            [answers for answers, sure in zip(estimated, known, strict=True) if sure],
        ),
        "not corrected": _rates(moments, _answers(model, encoder, plain, "answer without correction")),
        "blind LLM": _rates(moments, [{question: model.score(question, {}).answer for question in QUESTIONS}] * len(moments)),
    }
    return {
        "model": model.name,
        "revision": model.revision,
        "moments": len(moments),
        "scenes": len({moment.scene for moment in moments}),
        "known": float(np.mean(known)),
        "rows": rows,
    }


def _answers(model: Model, encoder: Encoder, moments: Sequence[MotionMoment], doing: str) -> list[dict[str, str]]:
    tokens = encoder.encode([(moment.window, None) for moment in moments])
    found = []
    for item in track(tokens, doing):
        cache = model.latents([item])
        found.append({question: model.score(question, cache).answer for question in QUESTIONS})
    return found


def _rates(moments: Sequence[MotionMoment], answers: Sequence[dict[str, str]]) -> dict[str, dict]:
    """For each question its balanced accuracy; a question without a clear moment is left out."""
    rates = {}
    for question, truth_of in QUESTIONS.items():
        counts: dict[str, dict[str, np.ndarray]] = defaultdict(lambda: defaultdict(lambda: np.zeros(2)))
        for moment, given in zip(moments, answers, strict=True):
            truth, answer = truth_of(moment), given[question]
            if truth is None:
                continue
            if truth == "turning" or (moment.turning is not None and answer.startswith("turning")):
                answer = "turning" if answer.startswith("turning") else answer
            counts[moment.scene][truth] += (answer == truth, 1)
        if counts:
            rates[question] = _balanced(list(counts.values()))
    return rates


def _balanced(scenes: Sequence[dict[str, np.ndarray]]) -> dict:
    """From the numbers of right and of all answers by scene and true answer."""
    truths = sorted({truth for scene in scenes for truth in scene})
    table = np.array([[scene.get(truth, np.zeros(2)) for truth in truths] for scene in scenes])
    drawn = np.random.default_rng(0).integers(len(scenes), size=(RESAMPLES, len(scenes)))
    right, count = np.moveaxis(table[drawn].sum(axis=1), -1, 0)
    present = count > 0
    means = np.where(present, right / np.maximum(count, 1), 0.0).sum(axis=1) / present.sum(axis=1)
    recall = table.sum(axis=0)
    return {
        "n": {truth: int(recall[index, 1]) for index, truth in enumerate(truths)},
        "right": float((recall[:, 0] / recall[:, 1]).mean()),
        "low": float(np.quantile(means, 0.025)),
        "high": float(np.quantile(means, 0.975)),
        "recall": {truth: float(recall[index, 0] / recall[index, 1]) for index, truth in enumerate(truths)},
    }


def table(report: dict) -> Table:
    """The balanced accuracies for people."""
    view = Table(
        title=f"{report['model']} {report['revision']}, IMU alone: {report['moments']} moments, {report['scenes']} scenes, "
        f"tilt known in {100 * report['known']:.0f} %"
    )
    for heading in ("", *QUESTIONS):
        view.add_column(heading, justify="right" if heading else "left")
    for name, row in report["rows"].items():
        view.add_row(name, *(_cell(row.get(question)) for question in QUESTIONS), style="dim" if name == "blind LLM" else "")
    view.caption = "balanced accuracy [%] and its 95 % interval; below, the share right by true answer"
    return view


def _cell(rate: dict | None) -> str:
    if rate is None:
        return "-"
    shares = ", ".join(f"{truth} {100 * rate['recall'][truth]:.0f} of {count}" for truth, count in rate["n"].items())
    return f"{100 * rate['right']:.1f} ({100 * rate['low']:.1f}-{100 * rate['high']:.1f})\n{shares}"
