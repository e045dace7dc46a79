# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training plan for a budget: the number of linked blocks, what trains, and the number of steps, from measured costs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..config import Validated, parameter
from ..datatypes import BadInput
from ..io.atomic_write import atomic_file
from ..metrics.flops import count_flops
from ..training.loop import fast
from .cost_meter import MEGABYTE, CostMeter, resident_mb
from .sample_tensors import SampleTensors

BATCH = 48
LEAST_STEPS = 60
"""Least number of steps of an uncut plan."""
LEAST_SHARE = 0.4
"""A plan with fewer blocks is preferred to one that is cut to less than this share of its steps."""
VALIDATIONS = 10
"""Number of validations during a training."""
RESERVE = 0.8
"""Share of the seconds that is planned with, since later steps may be slower than the measured one."""
GATES = ("log_gate", "token_gate.weight", "token_gate.bias")


@dataclass(frozen=True)
class TrainingBudget(Validated):
    """Limits of the cost of an adaptation; 0 = no limit."""

    seconds: float = parameter(0.0, "longest training time [s], 0 = no limit", minimum=0.0, maximum=1e6)
    flops: float = parameter(0.0, "most floating point operations, 0 = no limit", minimum=0.0, maximum=1e24)
    memory: float = parameter(0.0, "most resident memory [MB], 0 = no limit", minimum=0.0, maximum=1e8)


@dataclass(frozen=True, slots=True)
class TrainingRate:
    """Learning rate, and the number of passes over the samples of an uncut plan."""

    learning_rate: float
    passes: int


NEW_CONNECTOR = TrainingRate(1e-3, 16)
"""For an untrained connector."""
TRAINED_CONNECTOR = TrainingRate(5e-5, 10)
"""For a trained or warm-started connector: at the rate of a new one a few hundred samples lower its accuracy."""
NO_TRAINING = TrainingRate(0.0, 0)
"""For a warm-started connector with pseudo-labels only: nothing trains."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What trains ("connector", "gates" or "nothing"), the number of linked blocks, the steps, and the predicted cost."""

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
        """Write the plan, so that an interrupted training resumes with it."""
        with atomic_file(path) as part:
            part.write_text(json.dumps(asdict(self)))


def select_trainable(learners: nn.ModuleDict, trains: str) -> None:
    """Set requires_grad on what `trains` names, and on nothing else."""
    for name, value in learners.named_parameters():
        value.requires_grad_(trains == "connector" or (trains == "gates" and name.split(".", 1)[1] in GATES))


def choose_plan(
    budget: TrainingBudget,
    training: SampleTensors,
    validation: SampleTensors,
    learners: nn.ModuleDict,
    meter: CostMeter,
    passes: int,
) -> TrainingPlan:
    """The plan that fits the budget: the whole connector before the gates alone, more blocks before fewer. Raises BadInput.

    The seconds and operations that `meter` has counted already are part of the budget. Without passes nothing trains.
    """
    deepest = max(len(connector.heads) for connector in learners.values())
    if not passes:
        return TrainingPlan("nothing", deepest, 0, 0.0, 0.0, 0.0, 0.0, resident_mb())
    whole = max(LEAST_STEPS, passes * len(training) // BATCH)

    def affordable(plan: TrainingPlan) -> int:
        return _affordable(budget, plan, meter, whole)

    def fits(plan: TrainingPlan) -> bool:
        return affordable(plan) >= LEAST_SHARE * whole and (not budget.memory or plan.memory_mb <= budget.memory)

    for trains in ("connector", "gates"):
        plan = _deepest(
            lambda depth, trains=trains: _plan(training, len(validation), learners, whole, trains, depth), fits, deepest
        )
        if fits(plan):
            return _cut(plan, affordable(plan))
    if budget.memory and plan.memory_mb > budget.memory:
        raise BadInput(f"memory is {budget.memory:g} MB, the least that training takes is {plan.memory_mb:.0f} MB")
    if affordable(plan) < 1:
        raise BadInput(f"the budget is spent before the first step, which takes {plan.step_seconds:.2g} s")
    return _cut(plan, affordable(plan))


def _deepest(make: Callable[[int], TrainingPlan], fits: Callable[[TrainingPlan], bool], deepest: int) -> TrainingPlan:
    """The plan with the most linked blocks that fits, else that with one. Cost grows with the blocks, so few are measured."""
    plan = make(deepest)
    if fits(plan) or deepest == 1:
        return plan
    plan = make(1)
    if not fits(plan):
        return plan
    most, too_many = 1, deepest
    while too_many - most > 1:
        middle = (most + too_many) // 2
        tried = make(middle)
        if fits(tried):
            plan, most = tried, middle
        else:
            too_many = middle
    return plan


def _plan(training: SampleTensors, held: int, learners: nn.ModuleDict, steps: int, trains: str, depth: int) -> TrainingPlan:
    """The plan of `steps` steps with the cost of one measured step."""
    select_trainable(learners, trains)
    seconds, flops, saved = measure_step(training, learners, depth)
    trained = sum(value.numel() for value in learners.parameters() if value.requires_grad)
    memory = resident_mb() + (saved + 3 * 4 * trained) / MEGABYTE
    # A validation is a forward pass, a third of a step, over every validation sample; some come before and after.
    extra = (VALIDATIONS + 3) * held / BATCH / 3
    return TrainingPlan(trains, depth, steps, seconds, flops, seconds * (steps + extra), flops * (steps + extra), memory)


def _affordable(budget: TrainingBudget, plan: TrainingPlan, meter: CostMeter, whole: int) -> int:
    """Steps that seconds and operations permit beside the validations, at most `whole`; below 1 where the budget is too small."""
    over = [0.0]
    if budget.seconds:
        over.append((plan.seconds + meter.seconds - RESERVE * budget.seconds) / plan.step_seconds)
    if budget.flops:
        over.append((plan.flops + meter.flops - budget.flops) / plan.step_flops)
    return whole - math.ceil(max(over))


def _cut(plan: TrainingPlan, steps: int) -> TrainingPlan:
    less = plan.steps - steps
    seconds, flops = plan.seconds - less * plan.step_seconds, plan.flops - less * plan.step_flops
    return replace(plan, steps=steps, seconds=seconds, flops=flops)


def measure_step(training: SampleTensors, learners: nn.ModuleDict, depth: int) -> tuple[float, float, float]:
    """Seconds, operations and bytes saved for the backward pass of one step; the weights are not changed."""
    chosen = np.arange(min(BATCH, len(training)))
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def step() -> None:
        with fast(training.model.llm.device):
            value, _ = training.training_loss(learners, chosen, np.random.default_rng(0), depth)
        value.backward()
        learners.zero_grad(set_to_none=True)

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        flops = count_flops(step)
    started = time.perf_counter()
    step()
    return time.perf_counter() - started, flops, sum(kept.values())
