# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One training of some connectors from lessons: resumable, watched, and what it hands back is the best that validation saw."""

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

from ..training.loop import Schedule, fast, fit
from .cost_meter import Meter
from .sample_tensors import SampleTensors
from .training_plan import BATCH, EXAMINATIONS, TrainingPlan, prepare

NAME, SPENT = "adapt", "spent.json"
WARMUP = 10


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an adaptation is; `examined` after a look at the validation lessons.

    `accuracy` is that of the best weights so far on the validation lessons, by teacher forcing.
    """

    plan: str
    depth: int
    examined: bool
    step: int
    steps: int
    loss: float
    accuracy: float
    seconds: float
    flops: float


Report = Callable[[Progress, nn.ModuleDict], None]
"""Called with how far it is and the learners as they are; may raise to end it."""


def resumed(folder: Path) -> Meter:
    """A meter that goes on from what an earlier part of the training in `folder` has spent."""
    path = folder / SPENT
    return Meter(**json.loads(path.read_text())) if path.is_file() else Meter()


class Spent(Exception):
    """The seconds of the budget are over; the best weights so far count."""


def learn(
    learners: nn.ModuleDict,
    rows: SampleTensors,
    validation: SampleTensors,
    course: TrainingPlan,
    learning_rate: float,
    seconds: float,
    folder: Path,
    seed: int,
    meter: Meter,
    report: Report,
) -> None:
    """Train `learners` in place and leave them as they did best on `validation`; the start counts too.

    `seconds` is the hard limit, 0 = none. Checkpoint, best weights and curve are kept in `folder`; a training that was cut off
    goes on from there and gives what an uncut one gives. `report` may raise to end it.
    """
    prepare(learners, course.trains)
    every = max(1, course.steps // EXAMINATIONS)
    best = _Best(folder / "best.safetensors")

    def examine(step: int, loss: float | None = None) -> None:
        value, accuracy = validation.examine(learners, course.depth)
        if value < best.loss:
            best.keep(learners, value, accuracy)
        meter.flops += course.step_flops / 3 * len(validation) / BATCH
        part = folder / f"{SPENT}.part"
        part.write_text(json.dumps({"spent": meter.seconds, "flops": meter.flops}))
        part.replace(folder / SPENT)
        tell(step, value if loss is None else loss, examined=True)

    def tell(step: int, loss: float, examined: bool = False) -> None:
        progress = Progress(
            str(course), course.depth, examined, step, course.steps, loss, best.accuracy, meter.seconds, meter.flops
        )
        with meter.paused():
            report(progress, learners)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        chosen = rng.choice(len(rows), min(BATCH, len(rows)), replace=False)
        value, right = rows.lesson(learners, chosen, rng, course.depth)
        return value, {"right": right}

    def watch(step: int, numbers: dict[str, float]) -> None:
        meter.flops += course.step_flops
        if step % every == 0 or step == course.steps:
            examine(step, numbers["loss"])
            numbers["best accuracy"] = best.accuracy
        else:
            tell(step, numbers["loss"])
        numbers["seconds"] = meter.seconds
        if seconds and meter.seconds > seconds:
            raise Spent

    if best.loss == float("inf"):
        with fast(rows.model.llm.device):
            examine(0)
    try:
        if course.steps:
            schedule = Schedule(course.steps, learning_rate, warmup=WARMUP, checkpoint_every=every)
            fit(NAME, learners, loss, schedule, folder, seed, watch)
    except Spent:
        pass
    finally:
        learners.eval().requires_grad_(False)
    best.restore(learners)


class _Best:
    """The best weights so far, in a file that is replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loss, self.accuracy = float("inf"), 0.0
        if path.is_file():
            with safe_open(path, "pt") as file:
                self.loss, self.accuracy = (float(file.metadata()[key]) for key in ("loss", "accuracy"))

    def keep(self, learners: nn.ModuleDict, loss: float, accuracy: float) -> None:
        part = self.path.with_suffix(".part")
        state = {key: value.detach().contiguous() for key, value in learners.state_dict().items()}
        save_file(state, part, {"loss": repr(loss), "accuracy": repr(accuracy)})
        part.replace(self.path)
        self.loss, self.accuracy = loss, accuracy

    @torch.no_grad()
    def restore(self, learners: nn.ModuleDict) -> None:
        with safe_open(self.path, "pt") as file:
            learners.load_state_dict({key: file.get_tensor(key) for key in learners.state_dict()})
