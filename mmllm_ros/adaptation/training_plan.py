# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a budget to a course: how many of the last blocks are linked, what trains, how many steps. Costs are measured first."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..config import Validated, parameter
from ..datatypes import BadInput
from ..metrics.flops import counted
from ..training.loop import fast
from .cost_meter import MEGABYTE, Meter, resident_mb
from .sample_tensors import SampleTensors

BATCH = 48
LEAST_STEPS = 60
"""A whole course takes at least so many steps."""
LEAST_SHARE = 0.4
"""A shallower course is preferred to one that is cut to less than this share of its steps."""
EXAMINATIONS = 10
"""How often the validation lessons are looked at."""
RESERVE = 0.8
"""Share of the seconds that is planned with: machines are not always as quick as in the trial."""
GATES = ("log_gate", "salience.weight", "salience.bias")


@dataclass(frozen=True)
class Budget(Validated):
    """What an adaptation may cost; 0 = no limit."""

    seconds: float = parameter(0.0, "longest training time [s], 0 = no limit", minimum=0.0, maximum=1e6)
    flops: float = parameter(0.0, "most floating point operations, 0 = no limit", minimum=0.0, maximum=1e24)
    memory: float = parameter(0.0, "most resident memory [MB], 0 = no limit", minimum=0.0, maximum=1e8)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast, and how often a whole course reads each lesson."""

    learning_rate: float
    passes: int


USUAL = Pace(1e-3, 16)
"""Of a fresh connector."""
GENTLE = Pace(5e-5, 10)
"""Of one that has learned, an heir too: a few hundred lessons at the usual pace unlearn more of what it knows than they teach."""
AS_LEFT = Pace(0.0, 0)
"""Of an heir whom sensors alone would teach: nothing trains."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What trains ("connector", "gates" or "nothing"), the linked depth N, the steps, and what that should cost in all."""

    trains: str
    depth: int
    steps: int
    step_seconds: float
    step_flops: float
    seconds: float
    flops: float
    memory_mb: float

    def __str__(self) -> str:
        cost = f"about {self.seconds:.0f} s, {self.flops:.2g} FLOPs, {self.memory_mb:.0f} MB"
        return f"{self.trains}, last {self.depth} blocks, {self.steps} steps: {cost}"

    def write(self, path: Path) -> None:
        """Keep the course, so that a training that was cut off goes on with it."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(path)


def prepare(learners: nn.ModuleDict, trains: str) -> None:
    """Let train what `trains` names, and nothing else."""
    for name, value in learners.named_parameters():
        value.requires_grad_(trains == "connector" or (trains == "gates" and name.split(".", 1)[1] in GATES))


def choose(
    budget: Budget, rows: SampleTensors, validation: SampleTensors, learners: nn.ModuleDict, meter: Meter, passes: int
) -> TrainingPlan:
    """The best course that fits: the whole connector before the gates alone, more blocks before fewer. Raises BadInput.

    The seconds and operations that `meter` has counted already are part of the budget. No passes, no course.
    """
    if not passes:
        deepest = max(len(connector.heads) for connector in learners.values())
        return TrainingPlan("nothing", deepest, 0, 0.0, 0.0, 0.0, 0.0, resident_mb())
    whole = max(LEAST_STEPS, passes * len(rows) // BATCH)
    course = None
    for course in _courses(rows, len(validation), learners, whole):
        most = _affordable(budget, course, meter, whole)
        if most >= LEAST_SHARE * whole and (not budget.memory or course.memory_mb <= budget.memory):
            return _cut(course, most)
    if budget.memory and course.memory_mb > budget.memory:
        raise BadInput(f"memory is {budget.memory:g} MB, the least that training takes is {course.memory_mb:.0f} MB")
    if most < 1:
        raise BadInput(f"the budget is spent before the first step, which takes {course.step_seconds:.2g} s")
    return _cut(course, most)


def _courses(rows: SampleTensors, examined: int, learners: nn.ModuleDict, steps: int) -> Iterator[TrainingPlan]:
    """Courses in the order of preference, each measured with one step when it is asked for."""
    deepest = max(len(connector.heads) for connector in learners.values())
    for trains in ("connector", "gates"):
        for depth in range(deepest, 0, -1):
            prepare(learners, trains)
            seconds, flops, saved = trial(rows, learners, depth)
            trained = sum(value.numel() for value in learners.parameters() if value.requires_grad)
            memory = resident_mb() + (saved + 3 * 4 * trained) / MEGABYTE
            # An examination is a forward pass, a third of a step, over every validation lesson; before, between and at the end.
            looks = (EXAMINATIONS + 3) * examined / BATCH / 3
            yield TrainingPlan(trains, depth, steps, seconds, flops, seconds * (steps + looks), flops * (steps + looks), memory)


def _affordable(budget: Budget, course: TrainingPlan, meter: Meter, whole: int) -> int:
    """Steps that seconds and operations permit beside the examinations, at most `whole`; less than 1 where there is no room."""
    over = [0.0]
    if budget.seconds:
        over.append((course.seconds + meter.seconds - RESERVE * budget.seconds) / course.step_seconds)
    if budget.flops:
        over.append((course.flops + meter.flops - budget.flops) / course.step_flops)
    return whole - math.ceil(max(over))


def _cut(course: TrainingPlan, steps: int) -> TrainingPlan:
    less = course.steps - steps
    seconds, flops = course.seconds - less * course.step_seconds, course.flops - less * course.step_flops
    return replace(course, steps=steps, seconds=seconds, flops=flops)


def trial(rows: SampleTensors, learners: nn.ModuleDict, depth: int) -> tuple[float, float, float]:
    """Seconds, operations and bytes kept for the backward pass of one step; the weights stay as they are."""
    chosen = np.arange(min(BATCH, len(rows)))
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def step() -> None:
        with fast(rows.model.llm.device):
            value, _ = rows.lesson(learners, chosen, np.random.default_rng(0), depth)
        value.backward()
        learners.zero_grad(set_to_none=True)

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        flops = counted(step)
    started = time.perf_counter()
    step()
    return time.perf_counter() - started, flops, sum(kept.values())
