# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of the context estimate against the simulator's truth, and the fit of its weights."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track
from rich.table import Table

from ..context.context_estimate import FLOOR, LEVELS, NAMES, SCALES, Weights, estimate, scaled
from ..datasets.simulated_drive import DriveSensors, SimulatedMoment
from ..datatypes import FRAME_GAP
from ..dialogue.weather import answer_weather
from ..rig import Rig
from ..simulator.drive import Drive
from ..simulator.questions.programs import run
from ..simulator.questions.scene_graph import SceneGraph, moving, turn
from ..simulator.splits import scene_seed

PENALTY = 1.0
"""Ridge penalty of the squared weights, for signals in units of their standard deviation."""


def drives(rig: Rig, split: str, scenes: int, seed: int) -> list[SimulatedMoment]:
    """The second of two moments of each of `scenes` drives, each name of the context in turn."""
    found = []
    for number in track(range(scenes), f"drive {split} scenes"):
        drive = Drive(scene_seed(split, seed + number), rig, NAMES[number % len(NAMES)])
        sensors = DriveSensors(rig)
        drive.advance(2.0)
        sensors.observe(drive.capture())
        drive.advance(FRAME_GAP)
        found.append(sensors.observe(drive.capture()))
    return found


def confusion(moments: Sequence[SimulatedMoment], rig: Rig, weights: Weights | None = None) -> dict:
    """{"n", "right", "names": {truth: {estimate: count}}, "motion": the same, "levels": {level: mean absolute error},
    "answers": {question: {truth: {answer: count}}}, "camera only", "lidar only": {"right", "levels", "answers"},
    "seconds": CPU time of the signals of one moment}."""
    found = {name: _against_truth(moments, rig, weights, modalities) for name, modalities in _VIEWS.items()}
    motion: Counter = Counter()
    for moment in moments:
        ego = moment.truth.ego
        state = {True: "moving", False: "standing", None: None}[moving(ego)]
        state = turn(ego) if state == "moving" else state
        if state:
            estimated = estimate(moment.healths, weights).motion
            motion[state, estimated.replace("moving", "going straight")] += 1
    return {
        **found.pop("all"),
        **found,
        "motion": _nested(motion),
        "seconds": float(np.median([moment.cpu for moment in moments])),
    }


QUESTIONS = {"What time of day is it?": "daylight", "Is it foggy?": "fog", "Is it raining?": "rain"}
"""Questions about the weather, each with the program of its true answer, which clear cases have."""

_VIEWS = {"all": ("camera", "lidar", "imu"), "camera only": ("camera",), "lidar only": ("lidar",)}


def _against_truth(moments: Sequence[SimulatedMoment], rig: Rig, weights: Weights | None, modalities: Sequence[str]) -> dict:
    names: Counter = Counter()
    answers = {question: Counter() for question in QUESTIONS}
    errors: dict[str, list[float]] = {level: [] for level in LEVELS}
    for moment in moments:
        context = estimate([item for item in moment.healths if item.modality in modalities], weights)
        names[moment.truth.weather.name, context.name] += 1
        for level, value in context.levels.items():
            errors[level].append(abs(value - getattr(moment.truth.weather, level)))
        for question, program in QUESTIONS.items():
            truth, chances = run((program,), SceneGraph(moment.truth, rig)), answer_weather(question, context)
            if truth and chances:
                answers[question][truth, max(chances, key=chances.__getitem__)] += 1
    right = sum(count for (truth, estimated), count in names.items() if truth == estimated)
    return {
        "n": len(moments),
        "right": right / len(moments),
        "names": _nested(names),
        "levels": {level: float(np.mean(values)) for level, values in errors.items() if values},
        "answers": {question: _nested(pairs) for question, pairs in answers.items()},
    }


def _nested(pairs: Counter) -> dict[str, dict[str, int]]:
    rows: dict[str, dict[str, int]] = {}
    for (truth, estimated), count in sorted(pairs.items()):
        rows.setdefault(truth, {})[estimated] = count
    return rows


def fit(moments: Sequence[SimulatedMoment]) -> dict:
    """Weights of every level, for each set of modalities that can estimate it: the content of config/context.json."""
    rows = [
        {
            name: value
            for health in moment.healths
            if health.modality in SCALES and health.healthy
            for name, value in scaled(health.signals, health.modality).items()
        }
        for moment in moments
    ]
    sets = {"camera": LEVELS, "camera+lidar": LEVELS, "lidar": ("rain", "fog")}
    return {
        modalities: {level: _ridge(rows, moments, [name for m in modalities.split("+") for name in SCALES[m]], level)
                     for level in levels}
        for modalities, levels in sets.items()
    }  # fmt: skip


def _ridge(rows: Sequence[dict], moments: Sequence[SimulatedMoment], names: Sequence[str], level: str) -> dict:
    kept = [index for index, row in enumerate(rows) if set(names) <= set(row)]
    signals = np.array([[rows[index][name] for name in names] for index in kept])
    truth = np.array([getattr(moments[index].truth.weather, level) for index in kept])
    truth = np.log(truth + FLOOR) if level == "light" else truth
    low, high = np.percentile(signals, [1, 99], axis=0)
    signals = np.clip(signals, low, high)
    centre, spread = signals.mean(0), signals.std(0) + 1e-6
    units = (signals - centre) / spread
    weights = np.linalg.solve(units.T @ units + PENALTY * np.eye(len(names)), units.T @ (truth - truth.mean())) / spread
    numbers = zip(names, weights, low, high, strict=True)
    error = float(np.sqrt(np.mean((truth.mean() + (signals - centre) @ weights - truth) ** 2)))
    return {
        "offset": round(float(truth.mean() - weights @ centre), 4),
        "error": round(error, 4),
        "signals": {name: [round(float(number), 4) for number in row] for name, *row in numbers},
    }


def write(weights: dict, path: Path) -> None:
    """Write the weights as JSON, one line per level."""
    blocks = [
        f'"{modalities}": {{\n' + ",\n".join(f'  "{level}": {json.dumps(row)}' for level, row in levels.items()) + "\n }"
        for modalities, levels in weights.items()
    ]
    path.write_text("{\n " + ",\n ".join(blocks) + "\n}\n")


def balanced(rows: dict[str, dict[str, int]]) -> float:
    """The mean over the true answers of the share that is right, from {truth: {answer: count}}."""
    return float(np.mean([row.get(truth, 0) / sum(row.values()) for truth, row in rows.items()]))


def table(report: dict) -> Table:
    """The confusion table for the terminal."""
    estimated = [*NAMES, *sorted({name for row in report["names"].values() for name in row} - set(NAMES))]
    view = Table(title=f"{100 * report['right']:.1f} % of {report['n']} moments named right; rows are the truth")
    for heading in ("", *estimated):
        view.add_column(heading, justify="right")
    for truth in (name for name in NAMES if name in report["names"]):
        view.add_row(truth, *(str(report["names"][truth].get(name, "")) for name in estimated))
    errors = ", ".join(f"{level} {value:.2f}" for level, value in report["levels"].items())
    asked = ", ".join(f"{question} {100 * balanced(rows):.0f} %" for question, rows in report["answers"].items())
    motion = sum(row.get(truth, 0) for truth, row in report["motion"].items())
    total = sum(sum(row.values()) for row in report["motion"].values())
    view.caption = (
        f"mean error of the levels (0 to 1): {errors}; camera only {100 * report['camera only']['right']:.0f} % named right; "
        f"motion {motion} of {total}; answers, mean over the true ones: {asked}; "
        f"signals of one moment take {1000 * report['seconds']:.1f} ms of CPU"
    )
    return view
