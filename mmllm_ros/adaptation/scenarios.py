# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adaptations to measure: a new lidar, a night after a day without labels, another lidar, other lenses. Scenes never trained on.

`mmllm adapt --scenario NAME` runs one. The full model is the one that ships; what it lost, or never had, is learned on the road.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from torch import nn

from ..datasets.simulated import Asked, simulated
from ..datatypes import Question
from ..encoders import Encoder, load_encoder
from ..metrics.baselines import majority, ngram
from ..model import Model
from ..rig import Rig
from .acceptance_test import accuracy
from .adapt import Outcome, Progress, Request, adapt
from .sample_tensors import SampleTensors
from .samples import Labelled, LabelledSample, SelfTaught

matplotlib.use("Agg")
from matplotlib import pyplot

FIRST_LESSON = 10_000_000
"""Scenes of the train split from here on were not rendered for any training."""
PER_MOMENT = 2
"""Questions about one moment: an operator asks little at a time, and moments differ more than questions."""
SELF_ASKED = 8
"""A robot that asks itself asks so many."""
CONFIDENT = 0.6
"""From this confidence on an answer of a trusted modality counts as right."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One adaptation: what is learned from what. `change` makes the new rig of the old one."""

    learner: str
    newcomer: bool = False
    trusted: tuple[str, ...] = ()
    day: str = "mixed"
    then: str = "mixed"
    change: Callable[[Rig], Rig] = lambda rig: rig


def sixteen_rings(rig: Rig) -> Rig:
    """A lidar of half the rings, half a metre lower."""
    x, y, z = rig.lidar.position
    return dataclasses.replace(rig, lidar=dataclasses.replace(rig.lidar, rings=16, position=(x, y, z - 0.5)))


def half_view(rig: Rig) -> Rig:
    """Lenses with half the field of view."""
    return dataclasses.replace(rig, cameras=tuple(dataclasses.replace(mount, fov=mount.fov / 2) for mount in rig.cameras))


SCENARIOS = {
    "add_lidar": Scenario("lidar", newcomer=True),
    "self_taught_night": Scenario("lidar", newcomer=True, trusted=("camera", "imu"), day="day", then="night"),
    "lidar_16_rings": Scenario("lidar", change=sixteen_rings),
    "camera_half_fov": Scenario("camera", change=half_view),
}


@dataclasses.dataclass
class Measured:
    """The figures of one scenario, and the curve: rows of seconds and accuracy on the test questions."""

    figures: dict[str, float | str]
    curve: list[dict[str, float]]


def measure(
    name: str, folder: Path, rig: Rig, questions: int, scenes: int, request: Request, work: Path, device: str
) -> Measured:
    """Run scenario `name` with `questions` lessons and test it on `scenes` scenes; the request's seed counts for all."""
    scenario, seed = SCENARIOS[name], request.seed
    full, changed = Model.load(folder, device), scenario.change(rig)
    encoders = _encoders(full, folder, changed)
    moments = -(-questions // PER_MOMENT)
    first = FIRST_LESSON + seed * moments
    each = SELF_ASKED if scenario.trusted else PER_MOMENT
    asked = simulated(encoders, changed, "train", moments, first, scenario.day, each)
    tested = simulated(encoders, changed, "test", scenes, seed, scenario.then)
    before = full.variant({}, {})
    if scenario.newcomer:
        del before.connectors[scenario.learner]
    lessons = Labelled(asked).lessons()[:questions]
    if scenario.trusted:
        lessons = SelfTaught(before, asked, scenario.trusted, CONFIDENT).lessons()
    test = Labelled(tested).lessons()
    sheet = SampleTensors(before, test, request.modalities)
    curve: list[dict[str, float]] = []

    def report(progress: Progress, learners: nn.ModuleDict) -> None:
        if progress.examined:
            right = sheet.examine(learners, progress.depth)[1]
            curve.append({"step": progress.step, "seconds": progress.seconds, "accuracy": right, "loss": progress.loss})

    outcome = adapt(before, lessons, request, work, report)
    whole = test if scenario.newcomer else Labelled(simulated(_encoders(full, folder, rig), rig, "test", scenes, seed)).lessons()
    blind = _blind(full, test, tested, asked)
    return Measured(_figures(name, outcome, accuracy(before, test, ()), accuracy(full, whole, ()), blind, test), curve)


def _figures(name: str, outcome: Outcome, before: float, full: float, blind: float, test: Sequence[LabelledSample]) -> dict:
    after = accuracy(outcome.model, test, ()) if outcome.better else before
    return {
        "scenario": name,
        "gain_fraction": (after - blind) / (full - blind) if full > blind else 0.0,
        "newcomer_gain_fraction": (after - before) / (full - before) if full > before else 0.0,
        "seconds": outcome.seconds,
        "flops": outcome.flops,
        "peak_memory_mb": outcome.peak_memory_mb,
        "accuracy_before": before,
        "accuracy_after": after,
        "accuracy_full": full,
        "blind": blind,
        "lessons": outcome.lessons,
        "test_questions": len(test),
        "swapped_in": outcome.better,
        "message": outcome.message,
        "estimate": dataclasses.asdict(outcome.estimate),
    }


def _blind(model: Model, test: Sequence[LabelledSample], tested: Sequence[Asked], asked: Sequence[Asked]) -> float:
    """The strongest of the models that see nothing: the bare LLM, the commonest answer and a regression on the lessons' words."""
    bare = model.variant({}, {})
    for modality in model.modalities:
        del bare.connectors[modality]
    prior, questions = ([q for moment in moments for q in moment.questions] for moments in (asked, tested))
    guesses = [majority(prior, questions), ngram(prior, questions)]
    shares = [_share(guess, questions) for guess in guesses]
    return max(accuracy(bare, test, ()), *shares)


def _share(guesses: Sequence[str], questions: Sequence[Question]) -> float:
    return sum(guess == question.answer for guess, question in zip(guesses, questions, strict=True)) / len(questions)


def _encoders(model: Model, folder: Path, rig: Rig) -> dict[str, Encoder]:
    return {name: load_encoder(folder / "encoders" / name, rig, model.llm.device.type) for name in model.modalities}


def write_curve(measured: Measured, stem: Path) -> None:
    """STEM.csv and STEM.png: accuracy on the test questions against the seconds of training, beside what bounds it."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    with stem.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(measured.curve[0]))
        writer.writeheader()
        writer.writerows(measured.curve)
    figure, axis = pyplot.subplots(figsize=(5.5, 3.6))
    seconds = [row["seconds"] for row in measured.curve]
    axis.plot(seconds, [100 * row["accuracy"] for row in measured.curve], marker="o")
    axis.set_xlim(0.0, 1.05 * max(seconds))
    lines = (("accuracy_full", "fully trained", "-"), ("accuracy_before", "before", "--"), ("blind", "blind", ":"))
    for key, label, style in lines:
        axis.axhline(100 * measured.figures[key], color="0.5", linestyle=style, label=label)
    axis.set(xlabel="seconds of training", ylabel="right answers [%]", title=str(measured.figures["scenario"]))
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(stem.with_suffix(".png"), dpi=120)
    pyplot.close(figure)
