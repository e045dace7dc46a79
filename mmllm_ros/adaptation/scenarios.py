# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adaptation scenarios in simulation: a new lidar, pseudo-labels by day and a test at night, another lidar, other lenses.

`mmllm adapt --scenario NAME` runs one. The reference is the shipped model. No training has used these scenes.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from torch import nn

from ..datasets.examples import Example
from ..datasets.simulated import simulated_examples
from ..datatypes import Question
from ..encoders import Encoder, load_encoder
from ..metrics.baselines import majority, ngram
from ..metrics.statistics import wilson
from ..model import Model
from ..rig import Rig
from .acceptance_test import accuracy
from .adapt import AdaptationOutcome, AdaptationProgress, AdaptationRequest, adapt
from .sample_tensors import SampleTensors
from .samples import LabelledSample, LabelledSource, PseudoLabelled

matplotlib.use("Agg")
from matplotlib import pyplot

FIRST_SCENE = 10_000_000
"""First scene of the train split that no training has rendered."""
PER_FRAME = 2
"""Labelled questions per frame."""
PSEUDO_LABELS = 8
"""Questions per frame that are answered with pseudo-labels."""
CONFIDENT = 0.6
"""Least confidence of an answer that becomes a pseudo-label."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One adaptation: the connector that trains, whether its modality is new, and the modalities that give pseudo-labels.

    `context` is the simulated weather and light of the samples, `test_context` that of the test; `change` modifies the rig.
    """

    learner: str
    new_modality: bool = False
    trusted: tuple[str, ...] = ()
    context: str = "mixed"
    test_context: str = "mixed"
    change: Callable[[Rig], Rig] = lambda rig: rig


def sixteen_rings(rig: Rig) -> Rig:
    """The rig with a lidar of 16 rings, 0.5 m lower."""
    x, y, z = rig.lidar.position
    return dataclasses.replace(rig, lidar=dataclasses.replace(rig.lidar, rings=16, position=(x, y, z - 0.5)))


def half_view(rig: Rig) -> Rig:
    """The rig with cameras of half the field of view."""
    return dataclasses.replace(rig, cameras=tuple(dataclasses.replace(mount, fov=mount.fov / 2) for mount in rig.cameras))


SCENARIOS = {
    "add_lidar": Scenario("lidar", new_modality=True),
    "self_taught_night": Scenario("lidar", new_modality=True, trusted=("camera", "imu"), context="day", test_context="night"),
    "lidar_16_rings": Scenario("lidar", change=sixteen_rings),
    "camera_half_fov": Scenario("camera", change=half_view),
}


@dataclasses.dataclass
class ScenarioResult:
    """The figures of one scenario, and its learning curve: rows of seconds and accuracy on the test questions."""

    figures: dict[str, float | str]
    curve: list[dict[str, float]]


def measure(
    name: str,
    folder: Path,
    rig: Rig,
    questions: int,
    scenes: int,
    request: AdaptationRequest,
    work: Path,
    device: str,
    language: str = "template",
) -> ScenarioResult:
    """Run scenario `name` with `questions` samples and test it on `scenes` scenes; the request's seed is used for all.

    `language` is the wording of the questions, "template" or "everyday".
    """
    scenario, seed = SCENARIOS[name], request.seed
    full, changed = Model.load(folder, device), scenario.change(rig)
    encoders = _encoders(full, folder, changed)
    moments = -(-questions // PER_FRAME)
    first = FIRST_SCENE + seed * moments
    each = PSEUDO_LABELS if scenario.trusted else PER_FRAME
    asked = simulated_examples(encoders, changed, "train", moments, first, scenario.context, each, language)
    tested = simulated_examples(encoders, changed, "test", scenes, seed, scenario.test_context, language=language)
    before = full.variant({}, {})
    if scenario.new_modality:
        del before.connectors[scenario.learner]
    samples = evenly(LabelledSource(asked).samples(), questions)
    if scenario.trusted:
        samples = PseudoLabelled(before, asked, scenario.trusted, CONFIDENT).samples()
    test = LabelledSource(tested).samples()
    test_tensors = SampleTensors(before, test, request.modalities)
    curve: list[dict[str, float]] = []

    def report(progress: AdaptationProgress, learners: nn.ModuleDict) -> None:
        if progress.validated:
            right = test_tensors.validate(learners, progress.depth)[1]
            curve.append({"step": progress.step, "seconds": progress.seconds, "accuracy": right, "loss": progress.loss})

    outcome = adapt(before, samples, request, work, report)
    whole = test
    if not scenario.new_modality:  # the fully trained model is tested on the rig that it knows
        known = simulated_examples(_encoders(full, folder, rig), rig, "test", scenes, seed, language=language)
        whole = LabelledSource(known).samples()
    blind = _blind(full, test, tested, asked)
    return ScenarioResult(_figures(name, outcome, accuracy(before, test, ()), accuracy(full, whole, ()), blind, test), curve)


def evenly(samples: Sequence[LabelledSample], most: int) -> list[LabelledSample]:
    """At most `most` of the samples, from every moment: in everyday language a moment has more questions."""
    if len(samples) <= most:
        return list(samples)
    return [samples[int(at)] for at in np.linspace(0, len(samples) - 1, most)]


def _figures(
    name: str, outcome: AdaptationOutcome, before: float, full: float, blind: float, test: Sequence[LabelledSample]
) -> dict:
    after = accuracy(outcome.model, test, ()) if outcome.better else before
    low, high = wilson(round(after * len(test)), len(test))
    return {
        "scenario": name,
        "gain_fraction": (after - blind) / (full - blind) if full > blind else 0.0,
        "new_modality_gain_fraction": (after - before) / (full - before) if full > before else 0.0,
        "seconds": outcome.seconds,
        "flops": outcome.flops,
        "peak_memory_mb": outcome.peak_memory_mb,
        "accuracy_before": before,
        "accuracy_after": after,
        "accuracy_after_interval": f"{100 * low:.1f} to {100 * high:.1f} % (Wilson)",
        "accuracy_full": full,
        "blind": blind,
        "samples": outcome.samples,
        "test_questions": len(test),
        "swapped_in": outcome.better,
        "message": outcome.message,
        "estimate": dataclasses.asdict(outcome.estimate),
    }


def _blind(model: Model, test: Sequence[LabelledSample], tested: Sequence[Example], asked: Sequence[Example]) -> float:
    """The best accuracy without sensors: of the bare LLM, the commonest answer, and a regression on the questions' words."""
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


def write_curve(measured: ScenarioResult, stem: Path) -> None:
    """Write STEM.csv and STEM.png: accuracy on the test questions against the seconds of training, with reference lines."""
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
