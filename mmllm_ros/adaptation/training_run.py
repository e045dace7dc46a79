# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One training of some connectors on labelled samples: resumable; returns the weights of the lowest validation loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..io.atomic_write import atomic_file
from ..training.loop import Schedule, fast, fit
from .cost_meter import CostMeter
from .sample_tensors import SampleTensors
from .training_plan import BATCH, VALIDATIONS, TrainingPlan, select_trainable

NAME, SPENT = "adapt", "spent.json"
WARMUP = 10


@dataclass(frozen=True, slots=True)
class AdaptationProgress:
    """Progress of an adaptation; `validated` is true after a validation.

    `accuracy` is that of the best weights so far on the validation samples, by teacher forcing.
    """

    plan: str
    depth: int
    validated: bool
    step: int
    steps: int
    loss: float
    accuracy: float
    seconds: float
    flops: float


ProgressCallback = Callable[[AdaptationProgress, nn.ModuleDict], None]
"""Called with the progress and the learners in their present state; may raise to end the training."""


def resumed_meter(folder: Path) -> CostMeter:
    """A meter that continues from the cost of an earlier part of the training in `folder`."""
    path = folder / SPENT
    return CostMeter(**json.loads(path.read_text())) if path.is_file() else CostMeter()


class TimeLimitReached(Exception):
    """The seconds of the budget are spent; the training ends with the best weights so far."""


def run_training(
    learners: nn.ModuleDict,
    training: SampleTensors,
    validation: SampleTensors,
    plan: TrainingPlan,
    learning_rate: float,
    seconds: float,
    folder: Path,
    seed: int,
    meter: CostMeter,
    report: ProgressCallback,
) -> None:
    """Train `learners` in place and set them to their weights of the lowest loss on `validation`, the initial ones included.

    `seconds` is the hard limit, 0 = none. Checkpoint, best weights and curve are written to `folder`; an interrupted training
    resumes from there with the same result as an uninterrupted one. `report` may raise to end it.
    """
    select_trainable(learners, plan.trains)
    every = max(1, plan.steps // VALIDATIONS)
    best = _Best(folder / "best.safetensors")

    def validate(step: int, loss: float | None = None) -> None:
        value, accuracy = validation.validate(learners, plan.depth)
        if value < best.loss:
            best.update(learners, value, accuracy)
        meter.flops += plan.step_flops / 3 * len(validation) / BATCH
        with atomic_file(folder / SPENT) as part:
            part.write_text(json.dumps({"spent": meter.seconds, "flops": meter.flops}))
        report_progress(step, value if loss is None else loss, validated=True)

    def report_progress(step: int, loss: float, validated: bool = False) -> None:
        progress = AdaptationProgress(
            str(plan), plan.depth, validated, step, plan.steps, loss, best.accuracy, meter.seconds, meter.flops
        )
        with meter.paused():
            report(progress, learners)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        chosen = rng.choice(len(training), min(BATCH, len(training)), replace=False)
        value, right = training.training_loss(learners, chosen, rng, plan.depth)
        return value, {"right": right}

    def after_step(step: int, numbers: dict[str, float]) -> None:
        meter.flops += plan.step_flops
        if step % every == 0 or step == plan.steps:
            validate(step, numbers["loss"])
            numbers["best accuracy"] = best.accuracy
        else:
            report_progress(step, numbers["loss"])
        numbers["seconds"] = meter.seconds
        if seconds and meter.seconds > seconds:
            raise TimeLimitReached

    if best.loss == float("inf"):
        with fast(training.model.llm.device):
            validate(0)
    try:
        if plan.steps:
            schedule = Schedule(plan.steps, learning_rate, warmup=WARMUP, checkpoint_every=every)
            fit(NAME, learners, loss, schedule, folder, seed, after_step)
    except TimeLimitReached:
        pass
    finally:
        learners.eval().requires_grad_(False)
    best.restore(learners)


class _Best:
    """The best weights so far, in a file that is replaced atomically."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loss, self.accuracy = float("inf"), 0.0
        if path.is_file():
            with safe_open(path, "pt") as file:
                self.loss, self.accuracy = (float(file.metadata()[key]) for key in ("loss", "accuracy"))

    def update(self, learners: nn.ModuleDict, loss: float, accuracy: float) -> None:
        state = {key: value.detach().contiguous() for key, value in learners.state_dict().items()}
        with atomic_file(self.path) as part:
            save_file(state, part, {"loss": repr(loss), "accuracy": repr(accuracy)})
        self.loss, self.accuracy = loss, accuracy

    @torch.no_grad()
    def restore(self, learners: nn.ModuleDict) -> None:
        with safe_open(self.path, "pt") as file:
            learners.load_state_dict({key: file.get_tensor(key) for key in learners.state_dict()})
