# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adds a lidar to camera and IMU from the same labelled questions: with `mmllm adapt` and with other methods.

    python benchmark/comparison/new_modality.py --model models/drive_tiny    # about 25 minutes on one core
    python benchmark/comparison/new_modality.py --model models/drive_smollm2 --language everyday --scenes 30 --passes 12

Every row starts from the shipped model without its lidar connector and trains on the same samples with the same loop. The weights
with the best validation loss are tested. Camera and IMU use their connectors in every row. Cost is counted by torch, validation
included; `helps` is the cost at which a row first exceeds the accuracy without the lidar.
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
from attribute_text import described
from matplotlib import pyplot
from methods import LORA, FusionMethod, Insertion, Published, acting, full_forward
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from mmllm_ros.adaptation.adapt import AdaptationProgress, AdaptationRequest, adapt
from mmllm_ros.adaptation.cost_meter import CostMeter
from mmllm_ros.adaptation.sample_tensors import SampleTensors
from mmllm_ros.adaptation.samples import LabelledSample, LabelledSource, split, usable
from mmllm_ros.adaptation.scenarios import FIRST_SCENE, PER_FRAME, evenly
from mmllm_ros.adaptation.training_plan import TrainingBudget, choose_plan, measure_step
from mmllm_ros.adaptation.training_run import run_training
from mmllm_ros.datasets.simulated import simulated_examples
from mmllm_ros.datatypes import Tokens
from mmllm_ros.encoders import load_encoder
from mmllm_ros.latent.attention_adapter import LatentCache
from mmllm_ros.latent.decoder_blocks import decoder_blocks
from mmllm_ros.latent.shared_lora import SharedLora
from mmllm_ros.metrics.statistics import wilson
from mmllm_ros.model import Model
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig
from mmllm_ros.training.lower_cache import LowerCache
from mmllm_ros.training.packing import Packed
from mmllm_ros.training.warm_start import copy_connector, new_connector

NEW_MODALITY = "lidar"


class MethodAsConnector(nn.Module):
    """A fusion method for the new modality alone, with the call signature of a connector."""

    def __init__(self, method: FusionMethod) -> None:
        super().__init__()
        self.method, self.heads = method, range(1)

    def forward(self, values: Tensor, places: Tensor, *_: Tensor, **__: object) -> object:
        return self.method.encode({NEW_MODALITY: (values, places)})


class Blocks(nn.Module):
    """The LLM's blocks as a trainable module with the interface of a connector."""

    def __init__(self, llm: nn.Module) -> None:
        super().__init__()
        self.heads = range(1)
        self.blocks = decoder_blocks(llm)


class NewModalitySamples(SampleTensors):
    """Samples for the new modality. With `below`, the method changes lower blocks of the LLM: no cache of them."""

    def __init__(self, model: Model, samples: Sequence[LabelledSample], below: bool = False) -> None:
        super().__init__(model, samples, (NEW_MODALITY,))
        if below:
            # Existing modalities enter in the upper blocks only, so they are no targets for this method.
            self.distil_only(())
            self.texts = LowerCache(model.llm, 0)


class InsertionSamples(NewModalitySamples):
    """The tokens of the new modality are word embeddings before the text; the text attends to the latents of the others."""

    def __init__(self, model: Model, samples: Sequence[LabelledSample]) -> None:
        super().__init__(model, samples, below=True)
        self.texts = self

    def latent_caches(self, learning: Mapping[str, nn.Module], moments: Tensor, depth: int) -> dict[str, LatentCache]:
        latent_caches = super().latent_caches(learning, moments, depth)
        self.before = latent_caches.pop(NEW_MODALITY)
        return latent_caches

    def logits(self, packed: Packed, latent_cache: LatentCache) -> Tensor:
        """Replaces LowerCache.logits."""
        return full_forward(self.model.llm, packed, self.before[packed.frames], latent_cache)


class ActingLora(nn.Module):
    """A new LoRA that acts at every position of the text, as a trainable module with the interface of a connector."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.heads = range(1)
        self.lora = SharedLora(model.llm, model.linked_blocks, **LORA)


class TextSamples(SampleTensors):
    """The predicted attributes of the new modality are written before each question; `added` changes how the LLM reads."""

    def __init__(self, model: Model, samples: Sequence[LabelledSample], added: ActingLora) -> None:
        super().__init__(model, as_text(samples), ())
        self.added, self.lower, self.texts = added, self.texts, self

    def logits(self, packed: Packed, latent_cache: LatentCache) -> Tensor:
        """Replaces LowerCache.logits."""
        with acting(self.added.lora, self.model.llm):
            return self.lower.logits(packed, latent_cache)


def as_text(samples: Sequence[LabelledSample]) -> list[LabelledSample]:
    """The samples with the new modality as text in place of tokens; those of one moment go on sharing the other tokens."""
    moments: dict[int, tuple[str, tuple[Tokens, ...]]] = {}
    for sample in samples:
        if id(sample.tokens) not in moments:
            new = [tokens for tokens in sample.tokens if tokens.modality == NEW_MODALITY]
            lines = [line for one in new for line in described(one.modality, one.values, one.places)] or ["no objects"]
            kept = tuple(tokens for tokens in sample.tokens if tokens.modality != NEW_MODALITY)
            moments[id(sample.tokens)] = "\n".join(lines), kept
    parts = [(sample, *moments[id(sample.tokens)]) for sample in samples]
    return [dataclasses.replace(one, tokens=kept, question=f"{text}\n{one.question}") for one, text, kept in parts]


def learners_of(name: str, model: Model, width: int) -> tuple[Callable[..., SampleTensors], nn.ModuleDict, float]:
    """The class of the samples, the trained modules and the learning rate of a row."""
    widths, below = {NEW_MODALITY: width}, partial(NewModalitySamples, below=True)
    if name == "token insertion":
        return (
            InsertionSamples,
            nn.ModuleDict({NEW_MODALITY: MethodAsConnector(Insertion(model.llm, model.linked_blocks, widths))}),
            1e-3,
        )
    if name == "mPnP as published":
        return below, nn.ModuleDict({NEW_MODALITY: MethodAsConnector(Published(model.llm, model.linked_blocks, widths))}), 1e-3
    if name == "attributes as text, with LoRA":
        added = ActingLora(model)
        return partial(TextSamples, added=added), nn.ModuleDict({"lora": added}), 1e-3
    connector = new_connector(model, NEW_MODALITY, width)
    if name == "a new connector":
        return NewModalitySamples, nn.ModuleDict({NEW_MODALITY: connector}), 1e-3
    others = {modality: copy_connector(model, one) for modality, one in model.connectors.items()}
    return below, nn.ModuleDict({NEW_MODALITY: connector, **others, "blocks": Blocks(model.llm)}), 3e-4


OURS = {"ours": TrainingBudget(), "ours, 4.5e11 FLOPs at most": TrainingBudget(flops=4.5e11)}
"""The budget of `mmllm adapt` by row; it determines how many of the last blocks are linked."""
ROWS = (*OURS, "a new connector", "token insertion", "mPnP as published", "attributes as text, with LoRA", "full fine-tuning")


def run(
    name: str, model: Model, samples: Sequence[LabelledSample], test: Sequence[LabelledSample], passes: int, seed: int
) -> dict:
    """One row: its learning curve on the test questions, and its cost."""
    curve: list[dict[str, float]] = []
    kind = NewModalitySamples
    if name not in OURS:
        torch.manual_seed(seed)
        width = next(tokens.values.shape[1] for tokens in samples[0].tokens if tokens.modality == NEW_MODALITY)
        kind, learners, rate = learners_of(name, model, width)
    test_tensors = kind(model, test)

    def report(progress: AdaptationProgress, trained: nn.ModuleDict) -> None:
        if progress.validated:
            spent = {"flops": progress.flops, "seconds": progress.seconds}
            curve.append({**spent, "accuracy": test_tensors.validate(trained, progress.depth)[1]})

    with tempfile.TemporaryDirectory() as folder:
        if name in OURS:
            outcome = adapt(model, samples, AdaptationRequest((NEW_MODALITY,), OURS[name], seed=seed), Path(folder), report)
            learners, depth = nn.ModuleDict({NEW_MODALITY: outcome.model.connectors[NEW_MODALITY]}), outcome.estimate.depth
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
    return {**result, "trained": trained, "accuracy": test_tensors.validate(learners, depth)[1]}


def helps(run: dict, before: float) -> dict[str, float] | None:
    """The point of the learning curve at which a row first exceeds the accuracy without the new modality."""
    return next((point for point in run["curve"] if point["accuracy"] > before), None)


def show(report: dict, console: Console) -> None:
    """The rows as a table."""
    table = Table(title=f"without lidar {100 * report['before']:.1f} %, fully trained {100 * report['full']:.1f} %")
    for head in ("row", "right [%]", "trained", "FLOPs", "s", "MB a step", "helps after FLOPs", "s"):
        table.add_column(head, justify="left" if head == "row" else "right")
    for one in report["rows"]:
        first = one["helps"]
        low, high = wilson(round(one["accuracy"] * report["test_questions"]), report["test_questions"])
        cells = [
            f"{100 * one['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})",
            f"{one['trained'] / 1e6:.2f} M",
            f"{one['flops']:.2g}",
            f"{one['seconds']:.0f}",
        ]
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
    """Simulate, train with each method, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--rig", default="front")
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--scenes", type=int, default=120, help="test scenes")
    parser.add_argument("--language", choices=("template", "everyday"), default="template", help="wording of the questions")
    parser.add_argument("--passes", type=int, default=16, help="training passes of the other methods over the samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=ROWS)
    parser.add_argument("--json", type=Path, default=Path("out/new_modality.json"))
    parser.add_argument("--plot", type=Path, default=Path("out/new_modality.png"))
    arguments = parser.parse_args()
    full, rig = Model.load(arguments.model, "cpu"), load_rig(arguments.rig)
    encoders = {name: load_encoder(arguments.model / "encoders" / name, rig, "cpu") for name in full.modalities}
    moments = -(-arguments.questions // PER_FRAME)
    first = FIRST_SCENE + arguments.seed * moments
    asked = simulated_examples(encoders, rig, "train", moments, first, "mixed", PER_FRAME, arguments.language)
    samples = usable(evenly(LabelledSource(asked).samples(), arguments.questions), full, (NEW_MODALITY,))[0]
    tested = simulated_examples(encoders, rig, "test", arguments.scenes, arguments.seed, language=arguments.language)
    test = LabelledSource(tested).samples()
    before = [dataclasses.replace(one, tokens=tuple(t for t in one.tokens if t.modality != NEW_MODALITY)) for one in test]
    report = {"revision": full.revision, "language": arguments.language, "samples": len(samples), "test_questions": len(test)}
    report |= {
        "full": SampleTensors(full, test, ()).validate({}, 0)[1],
        "before": SampleTensors(full, before, ()).validate({}, 0)[1],
        "rows": [],
    }
    for path in (arguments.json, arguments.plot):
        path.parent.mkdir(parents=True, exist_ok=True)
    for name in arguments.rows:
        # Full fine-tuning changes the LLM, so each row loads its own.
        model = Model.load(arguments.model, "cpu")
        del model.connectors[NEW_MODALITY]
        model.connectors.requires_grad_(False)
        one = run(name, model, samples, test, arguments.passes, arguments.seed)
        report["rows"].append({**one, "helps": helps(one, report["before"])})
        Console().print(f"{name}: {100 * one['accuracy']:.1f} %, {one['seconds']:.0f} s")
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    show(report, Console(width=160))
    plot(report, arguments.plot)


if __name__ == "__main__":
    main()
