# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop of all stages: cosine schedule, progress, curves, checkpoints, exact resume, any number of processes.

A step depends only on the weights and on its number, which seeds data and dropout, so a resumed run gives the same weights as an
uninterrupted one. A step of several shares averages their gradients: a single process computes them in turn, and of the processes
that `torchrun` starts (processes.py) each computes one.
"""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from ..datatypes import BadInput
from ..device import half_products
from ..io.atomic_write import atomic_file
from . import processes
from .muon import Muon

Loss = Callable[[np.random.Generator], tuple[Tensor, dict[str, float]]]
"""Draws a batch with the generator, returns its loss and the numbers worth plotting."""
CURVE_EVERY = 10
Watch = Callable[[int, dict[str, float]], None]
"""Called after each step with the number of finished steps and that step's numbers; may add numbers, and may raise to end."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Number of steps and learning rates: linear warm-up, cosine to zero, gradients clipped to norm 1.

    Matrices are trained by Muon at `matrix_rate`, other parameters by AdamW at `learning_rate`; with `matrix_rate` 0 AdamW trains
    all. A step draws `shares` batches; the number of processes is one or `shares`.
    """

    steps: int
    learning_rate: float
    warmup: int = 100
    weight_decay: float = 0.02
    checkpoint_every: int = 250
    shares: int = 1
    matrix_rate: float = 0.0

    def rate(self, step: int) -> float:
        """Factor of the learning rate at `step`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return 0.5 + 0.5 * math.cos(math.pi * (step - self.warmup) / max(1, self.steps - self.warmup))


def fit(
    name: str, module: nn.Module, loss: Loss, schedule: Schedule, folder: Path, seed: int, watch: Watch | None = None
) -> None:
    """Train the parameters of `module` that require a gradient. Writes checkpoint, CSV and PNG named `name` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    trained = {key: value for key, value in module.named_parameters() if value.requires_grad}
    optimizers = _optimizers(module, trained, schedule)
    checkpoint = folder / f"{name}.safetensors"
    start = _resume(checkpoint, trained, optimizers)
    rows = _kept_rows(folder / f"{name}.csv", start)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    module.train()
    share = _Share(module, loss, schedule.shares, seed)
    compute = DistributedDataParallel(share, find_unused_parameters=True) if processes.count() > 1 else share
    with Progress(*columns, disable=processes.number() > 0) as progress:
        bar = progress.add_task(name, total=schedule.steps, completed=start)
        for step in range(start, schedule.steps):
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = group["peak"] * schedule.rate(step)
            for value in trained.values():
                value.grad = None
            drawn = []
            for index in share.mine:
                value, numbers = compute(step, index)
                if not torch.isfinite(value):
                    raise FloatingPointError(
                        f"{name}: loss is {value.item()} at step {step}; the last checkpoint is {checkpoint}"
                    )
                (value / len(share.mine)).backward()
                drawn.append({"loss": value.item(), **numbers})
            nn.utils.clip_grad_norm_(trained.values(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            rows.append({"step": step, **{key: sum(one[key] for one in drawn) / len(drawn) for key in drawn[0]}})
            if watch:
                watch(step + 1, rows[-1])
            progress.update(bar, advance=1, description=f"{name} loss {np.mean([r['loss'] for r in rows[-50:]]):.3f}")
            due = (step + 1) % schedule.checkpoint_every == 0 or step + 1 == schedule.steps
            if processes.number() == 0 and (due or (step + 1) % CURVE_EVERY == 0):
                _write_rows(folder / f"{name}.csv", rows)
            if processes.number() == 0 and due:
                _checkpoint(checkpoint, step + 1, trained, optimizers)
    processes.once(lambda: plot_curves(folder / f"{name}.png", rows))
    module.eval()


def _optimizers(module: nn.Module, trained: dict[str, nn.Parameter], schedule: Schedule) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for the matrices other than embeddings."""
    tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    maps = [value for value in trained.values() if value.ndim >= 2 and id(value) not in tables and schedule.matrix_rate]
    rest = [value for value in trained.values() if not any(value is one for one in maps)]
    decay = schedule.weight_decay
    groups = [
        {"params": [value for value in rest if value.ndim >= 2], "weight_decay": decay, "peak": schedule.learning_rate},
        {"params": [value for value in rest if value.ndim < 2], "weight_decay": 0.0, "peak": schedule.learning_rate},
    ]
    optimizers = [torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98))]
    if maps:
        optimizers.append(Muon([{"params": maps, "peak": schedule.matrix_rate}], schedule.matrix_rate, decay))
    return optimizers


class _Share(nn.Module):
    """One share of a step as a module, so that DistributedDataParallel averages the gradients of the processes."""

    def __init__(self, module: nn.Module, loss: Loss, shares: int, seed: int) -> None:
        super().__init__()
        if processes.count() not in (1, shares):
            raise BadInput(f"{processes.count()} processes, but a step has {shares} shares: set the stage's `shares`")
        self.module, self.loss, self.shares, self.seed = module, loss, shares, seed
        self.mine = range(shares) if processes.count() == 1 else (processes.number(),)

    def forward(self, step: int, index: int) -> tuple[Tensor, dict[str, float]]:
        torch.manual_seed((self.seed * 1_000_003 + step) * self.shares + index)
        with fast(next(self.module.parameters()).device):
            return self.loss(np.random.default_rng([self.seed, step, index]))


@contextlib.contextmanager
def fast(device: torch.device) -> Iterator[None]:
    """bfloat16 products where the device supports them, and `device` as default for new tensors.

    On a CPU the math attention, whose gradient is several times faster there for short sequences. On a GPU any but cuDNN's, which
    plans anew for every length of text.
    """
    cpu = device.type == "cpu"
    backends = [SDPBackend.MATH] if cpu else [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    place = contextlib.nullcontext() if cpu else device
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    # In spite of its name this is for the CPU too: the math attention does not go back to float32.
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before or cpu)
    try:
        with place, torch.autocast(device.type, torch.bfloat16, enabled=not cpu or half_products()), sdpa_kernel(backends):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


def _checkpoint(path: Path, step: int, trained: dict[str, nn.Parameter], optimizers: list[torch.optim.Optimizer]) -> None:
    """Save the weights and the optimizers' state of each; AdamW counts the steps per weight."""
    tensors = {f"weight.{key}": value.detach() for key, value in trained.items()}
    for key, value in trained.items():
        for optimizer in optimizers:
            tensors |= {f"{part}.{key}": kept for part, kept in optimizer.state.get(value, {}).items()}
    with atomic_file(path) as part:
        save_file({key: value.contiguous() for key, value in tensors.items()}, part, {"step": str(step)})


def _resume(path: Path, trained: dict[str, nn.Parameter], optimizers: list[torch.optim.Optimizer]) -> int:
    if not path.is_file():
        return 0
    holder = {id(value): o for o in optimizers for group in o.param_groups for value in group["params"]}
    with safe_open(path, "pt") as file, torch.no_grad():
        for name in file.keys():  # noqa: SIM118, a safetensors file is no mapping
            part, key = name.split(".", 1)
            value, kept = trained[key], file.get_tensor(name)
            if part == "weight":
                value.copy_(kept)
            else:
                # AdamW keeps its step counts on the CPU.
                holder[id(value)].state[value][part] = kept.to(value.device) if kept.ndim else kept
        return int(file.metadata()["step"])


def _kept_rows(path: Path, steps: int) -> list[dict[str, float]]:
    if not steps or not path.is_file():
        return []
    with open(path, newline="") as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    return [{**row, "step": int(row["step"])} for row in rows if row["step"] < steps]


def _write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)


def plot_curves(path: Path, rows: list[dict[str, float]]) -> None:
    """Plot each number of `rows` against its step, smoothed over 2 % of the run."""
    # Here, because the llm node imports this module and never plots: 21 MB.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [key for key in dict.fromkeys(key for row in rows for key in row) if key != "step"]
    figure, axes = pyplot.subplots(1, len(names), figsize=(3.2 * len(names), 2.8), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        points = [(row["step"], row[name]) for row in rows if name in row]
        window = max(1, len(points) // 50)
        smooth = np.convolve([value for _, value in points], np.ones(window) / window, mode="valid")
        axis.plot([step for step, _ in points][window - 1 :], smooth)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
