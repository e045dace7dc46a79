# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A lidar joins camera and IMU, from the same labelled questions: by `mmllm adapt`, and in the ways that it replaces.

    python benchmark/comparison/new_modality.py --json out/new_modality.json --plot out/new_modality.png      # about 25 minutes on one core

Every row starts from the shipped model without its lidar connector and learns from the same samples, in the same loop; the best
weights that the validation samples saw are tested. Camera and IMU speak through their connectors in every row. Cost is what
torch counts, validation included; a row `helps` once it is better than the robot without the newcomer.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from matplotlib import pyplot
from rich.console import Console
from rich.table import Table
from rivals import Insertion, Published, Rival, from_the_bottom
from torch import Tensor, nn

from mmllm_ros.adaptation.adapt import AdaptationProgress, AdaptationRequest, adapt
from mmllm_ros.adaptation.cost_meter import CostMeter
from mmllm_ros.adaptation.sample_tensors import SampleTensors
from mmllm_ros.adaptation.samples import LabelledSource, LabelledSample, split, usable
from mmllm_ros.adaptation.scenarios import FIRST_SCENE, PER_MOMENT
from mmllm_ros.adaptation.training_plan import TrainingBudget, choose_plan, measure_step
from mmllm_ros.adaptation.training_run import learn
from mmllm_ros.datasets.simulated import simulated
from mmllm_ros.encoders import load_encoder
from mmllm_ros.latent.attention_adapter import LatentCache
from mmllm_ros.latent.decoder_blocks import decoder_blocks
from mmllm_ros.model import Model
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig
from mmllm_ros.training.lower_cache import LowerCache
from mmllm_ros.training.packing import Packed
from mmllm_ros.training.warm_start import fresh, twin

NEWCOMER = "lidar"


class Newcomer(nn.Module):
    """A rival's part for the newcomer alone, called as a connector is."""

    def __init__(self, rival: Rival) -> None:
        super().__init__()
        self.rival, self.heads = rival, range(1)

    def forward(self, values: Tensor, places: Tensor, *_: Tensor, **__: object) -> object:
        return self.rival.see({NEWCOMER: (values, places)})


class Blocks(nn.Module):
    """The LLM's blocks, to be trained as the connectors are."""

    def __init__(self, llm: nn.Module) -> None:
        super().__init__()
        self.heads = range(1)
        self.blocks = decoder_blocks(llm)


class Lessons(SampleTensors):
    """Lessons for the newcomer. Where `below`, it changes what the lower blocks of the LLM see: no state of theirs is kept."""

    def __init__(self, model: Model, samples: Sequence[LabelledSample], below: bool = False) -> None:
        super().__init__(model, samples, (NEWCOMER,))
        if below:
            # Siblings speak above; what enters below is not like it.
            self.listen(())
            self.texts = LowerCache(model.llm, 0)


class Inserted(Lessons):
    """The newcomer's tokens stand before the text as words; the others' latents are heard by the text as ever."""

    def __init__(self, model: Model, samples: Sequence[LabelledSample]) -> None:
        super().__init__(model, samples, below=True)
        self.texts = self

    def banks(self, learning: Mapping[str, nn.Module], moments: Tensor, depth: int) -> dict[str, LatentCache]:
        banks = super().banks(learning, moments, depth)
        self.before = banks.pop(NEWCOMER)
        return banks

    def logits(self, packed: Packed, bank: LatentCache) -> Tensor:
        """What LowerCache would give."""
        return from_the_bottom(self.model.llm, packed, self.before[packed.frames], bank)


def learners_of(name: str, model: Model, width: int) -> tuple[Callable[..., SampleTensors], nn.ModuleDict, float]:
    """How samples are read in a row, what trains, and how fast."""
    widths, below = {NEWCOMER: width}, partial(Lessons, below=True)
    if name == "token insertion":
        return Inserted, nn.ModuleDict({NEWCOMER: Newcomer(Insertion(model.llm, model.linked_blocks, widths))}), 1e-3
    if name == "mPnP as published":
        return below, nn.ModuleDict({NEWCOMER: Newcomer(Published(model.llm, model.linked_blocks, widths))}), 1e-3
    connector = fresh(model, NEWCOMER, width)
    if name == "a new connector":
        return Lessons, nn.ModuleDict({NEWCOMER: connector}), 1e-3
    others = {modality: twin(model, one) for modality, one in model.connectors.items()}
    return below, nn.ModuleDict({NEWCOMER: connector, **others, "blocks": Blocks(model.llm)}), 3e-4


OURS = {"ours": TrainingBudget(), "ours, 4.5e11 FLOPs at most": TrainingBudget(flops=4.5e11)}
"""By row the budget of `mmllm adapt`, which decides how many of the last blocks are linked."""
ROWS = (*OURS, "a new connector", "token insertion", "mPnP as published", "full fine-tuning")


def run(
    name: str, model: Model, samples: Sequence[LabelledSample], test: Sequence[LabelledSample], passes: int, seed: int
) -> dict:
    """One row: its learning curve on the test questions, and what it cost."""
    curve: list[dict[str, float]] = []
    kind = Lessons
    if name not in OURS:
        torch.manual_seed(seed)
        width = next(tokens.values.shape[1] for tokens in samples[0].tokens if tokens.modality == NEWCOMER)
        kind, learners, rate = learners_of(name, model, width)
    sheet = kind(model, test)

    def report(progress: AdaptationProgress, trained: nn.ModuleDict) -> None:
        if progress.validated:
            spent = {"flops": progress.flops, "seconds": progress.seconds}
            curve.append({**spent, "accuracy": sheet.validate(trained, progress.depth)[1]})

    with tempfile.TemporaryDirectory() as folder:
        if name in OURS:
            outcome = adapt(model, samples, AdaptationRequest((NEWCOMER,), OURS[name], seed=seed), Path(folder), report)
            learners, depth = nn.ModuleDict({NEWCOMER: outcome.model.connectors[NEWCOMER]}), outcome.estimate.depth
            rows = kind(model, split(samples)[0])
            flops, seconds = outcome.flops, outcome.seconds
        else:
            rows, held = (kind(model, part) for part in split(samples))
            meter = CostMeter()
            plan = choose_plan(TrainingBudget(), rows, held, learners, meter, passes)
            run_training(learners, rows, held, plan, rate, 0.0, Path(folder), seed, meter, report)
            depth, flops, seconds = plan.depth, meter.flops, meter.seconds
    learners.requires_grad_(True)
    bytes_held = measure_step(rows, learners, depth)[2]
    learners.requires_grad_(False)
    result = {"row": name, "flops": flops, "seconds": seconds, "step_bytes": bytes_held, "curve": curve}
    trained = sum(value.numel() for value in learners.parameters())
    return {**result, "trained": trained, "accuracy": sheet.validate(learners, depth)[1]}


def helps(run: dict, before: float) -> dict[str, float] | None:
    """What a row had spent when it was first better than the robot without the newcomer."""
    return next((point for point in run["curve"] if point["accuracy"] > before), None)


def show(report: dict, console: Console) -> None:
    """The rows as a table."""
    table = Table(title=f"without lidar {100 * report['before']:.1f} %, fully trained {100 * report['full']:.1f} %")
    for head in ("row", "right [%]", "trained", "FLOPs", "s", "MB a step", "helps after FLOPs", "s"):
        table.add_column(head, justify="left" if head == "row" else "right")
    for one in report["rows"]:
        first = one["helps"]
        cells = [f"{100 * one['accuracy']:.1f}", f"{one['trained'] / 1e6:.2f} M", f"{one['flops']:.2g}", f"{one['seconds']:.0f}"]
        cells += [f"{one['step_bytes'] / 1e6:.0f}"]
        cells += [f"{first['flops']:.2g}", f"{first['seconds']:.0f}"] if first else ["never", ""]
        table.add_row(one["row"], *cells)
    console.print(table)


def plot(report: dict, path: Path) -> None:
    """Accuracy against operations spent."""
    figure, axis = pyplot.subplots(figsize=(8.0, 3.8))
    for one in report["rows"]:
        points = [(point["flops"], 100 * point["accuracy"]) for point in one["curve"]]
        axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=one["row"])
    for key, label, style in (("full", "fully trained", "-"), ("before", "without lidar", "--")):
        axis.axhline(100 * report[key], color="0.5", linestyle=style, label=label)
    axis.set(xscale="log", xlabel="operations spent [FLOPs]", ylabel="right answers [%]")
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> None:
    """Drive, learn in each way, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--rig", default="front")
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--scenes", type=int, default=120, help="test scenes")
    parser.add_argument("--passes", type=int, default=16, help="how often the other ways read each sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=ROWS)
    parser.add_argument("--json", type=Path, default=Path("out/new_modality.json"))
    parser.add_argument("--plot", type=Path, default=Path("out/new_modality.png"))
    arguments = parser.parse_args()
    full, rig = Model.load(arguments.model, "cpu"), load_rig(arguments.rig)
    encoders = {name: load_encoder(arguments.model / "encoders" / name, rig, "cpu") for name in full.modalities}
    moments = -(-arguments.questions // PER_MOMENT)
    first = FIRST_SCENE + arguments.seed * moments
    asked = simulated(encoders, rig, "train", moments, first, "mixed", PER_MOMENT)
    samples = usable(LabelledSource(asked).samples()[: arguments.questions], full, (NEWCOMER,))[0]
    test = LabelledSource(simulated(encoders, rig, "test", arguments.scenes, arguments.seed)).samples()
    before = [dataclasses.replace(one, tokens=tuple(t for t in one.tokens if t.modality != NEWCOMER)) for one in test]
    runs = []
    for name in arguments.rows:
        # Full fine-tuning spoils its LLM for the others.
        model = Model.load(arguments.model, "cpu")
        del model.connectors[NEWCOMER]
        model.connectors.requires_grad_(False)
        runs.append(run(name, model, samples, test, arguments.passes, arguments.seed))
        Console().print(f"{name}: {100 * runs[-1]['accuracy']:.1f} %, {runs[-1]['seconds']:.0f} s")
    report = {"revision": full.revision, "samples": len(samples), "test_questions": len(test)}
    report |= {
        "full": SampleTensors(full, test, ()).examine({}, 0)[1],
        "before": SampleTensors(full, before, ()).examine({}, 0)[1],
    }
    report["rows"] = [{**one, "helps": helps(one, report["before"])} for one in runs]
    show(report, Console(width=160))
    for path in (arguments.json, arguments.plot):
        path.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    plot(report, arguments.plot)


if __name__ == "__main__":
    main()
