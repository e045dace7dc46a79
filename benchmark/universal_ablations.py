# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Variants of the universal projection, trained alike for a short time: start from images or at random, K experts, routers.

    python benchmark/universal_ablations.py --model models/universal --work out/universal --json out/universal_ablations.json

The backbone is that of the model. Each variant is aligned for the same number of steps on the same scenes, and answers are those
of the alignment's own heads: no LLM. Accuracy is balanced as in benchmark/universal.py; "blind" is always the same answer.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from universal import Score, score

from mmllm_ros.encoders.universal.backbone import FOLDER, Backbone
from mmllm_ros.encoders.universal.encoder import LAYOUTS, UniversalEncoder
from mmllm_ros.training.loop import Schedule, fast
from mmllm_ros.training.universal.alignment import UNKNOWN, Alignment, Labels, templates_of
from mmllm_ros.training.universal.moments import Moments, render_all
from mmllm_ros.training.universal.questions import Asked
from mmllm_ros.training.universal.settings import AlignmentStage
from mmllm_ros.training.universal.stages import (
    ENCODER,
    load_all,
    new_encoder,
    sizes,
    start_from_image,
    start_projection,
    train_stage,
)

SHAPE = {"tokens": 16, "experts": 3, "blocks": 2, "heads": 3, "router": "soft"}
VARIANTS = {
    "K = 3, soft, from images": SHAPE,
    "random start": SHAPE,
    "K = 1": {**SHAPE, "experts": 1},
    "sparse router": {**SHAPE, "router": "sparse"},
    "constant router": {**SHAPE, "router": "constant"},
}
RANDOM = "random start"
AT_ONCE = 32


def stage(steps: int, modalities: int, batch: int, names: tuple[str, ...]) -> AlignmentStage:
    """A stage of `steps` in which `names` are drawn equally often."""
    schedule = Schedule(steps, 1e-3, warmup=10, checkpoint_every=steps, matrix_rate=3e-3)
    return AlignmentStage(schedule, batch, modalities, dict.fromkeys(names, 1.0))


def image_projection(backbone: Backbone, moments: Moments, labels: Labels, steps: int, work: Path) -> UniversalEncoder:
    """An encoder of one expert, trained on images."""
    torch.manual_seed(0)
    encoder = new_encoder({**SHAPE, "experts": 1}, backbone, ["image"])
    encoder.requires_grad_(True).backbone.requires_grad_(False)
    train_stage("image", Alignment(encoder, sizes(labels)), stage(steps, 1, 24, ("image",)), moments, labels, work, 0)
    return encoder


def aligned(
    name: str, backbone: Backbone, image: UniversalEncoder, moments: Moments, labels: Labels, steps: int, work: Path
) -> Alignment:
    """Variant `name`, trained for `steps` on all modalities."""
    torch.manual_seed(0)
    encoder = new_encoder(VARIANTS[name], backbone)
    encoder.requires_grad_(True).backbone.requires_grad_(False)
    if name != RANDOM:
        start_projection(encoder, image)
        for modality in encoder.modalities:
            if modality != "image":
                start_from_image(encoder, modality)
    alignment = Alignment(encoder, sizes(labels))
    train_stage(name.replace(" ", "_"), alignment, stage(steps, 2, 16, tuple(LAYOUTS)), moments, labels, work, 0)
    return alignment


@torch.inference_mode()
def accuracy(alignment: Alignment, moments: Moments, labels: Labels, modality: str) -> Score:
    """The balanced accuracy of the heads with one modality."""
    logits = []
    for rows in torch.arange(len(moments)).split(AT_ONCE):
        batch = {"now": moments.batch(modality, rows), "view": moments.view(modality, rows)}
        with fast(torch.device("cpu")):
            logits.append(alignment.answer_logits(alignment.encoder(batch, modality)[0]))
    guesses, asked, right = torch.cat(logits).argmax(-1), [], []
    for template in templates_of(modality):
        for row, answer in enumerate(labels.plain[:, template].tolist()):
            if answer != UNKNOWN:
                asked.append(Asked(row, template, "", labels.names[template][answer]))
                right.append(float(guesses[row, template] == answer))
    return score(asked, np.array(right))


def main() -> None:
    """Render, train, evaluate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/universal"))
    parser.add_argument("--work", type=Path, required=True, help="folder for rendered moments and checkpoints")
    parser.add_argument("--train", type=int, nargs=2, default=(0, 450), metavar=("FIRST", "SCENES"))
    parser.add_argument("--scenes", type=int, default=150, help="test scenes")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    moments = load_all(render_all(arguments.work / "moments", "train", *arguments.train, LAYOUTS))
    test = load_all(render_all(arguments.work / "moments", "test", 0, arguments.scenes, LAYOUTS))
    labels = Labels.of(moments.answers)
    held = Labels.of(test.answers, labels.names)
    backbone = Backbone.load(arguments.model / "encoders" / ENCODER / FOLDER)
    work = arguments.work / f"ablations-{arguments.steps}"
    image = image_projection(backbone, moments, labels, arguments.steps // 3, work)
    table = Table("variant", *LAYOUTS, "mean", "CPU s")
    rows = {}
    for name in arguments.variants:
        begun = time.process_time()
        alignment = aligned(name, backbone, image, moments, labels, arguments.steps, work)
        seconds = time.process_time() - begun
        scores = {modality: accuracy(alignment, test, held, modality) for modality in LAYOUTS}
        mean = float(np.mean([one.accuracy for one in scores.values()]))
        rows[name] = {"mean": mean, "seconds": seconds, **{modality: asdict(one) for modality, one in scores.items()}}
        cells = [f"{one.accuracy:.1%} ({one.low:.0%} to {one.high:.0%})" for one in scores.values()]
        table.add_row(name, *cells, f"{mean:.1%}", f"{seconds:.0f}")
    counts = {modality: [len(labels.names[template]) for template in templates_of(modality)] for modality in LAYOUTS}
    blind = {modality: float(np.mean([1 / count for count in answers if count])) for modality, answers in counts.items()}
    table.add_row("blind", *(f"{share:.1%}" for share in blind.values()), f"{np.mean(list(blind.values())):.1%}", "")
    Console(width=200).print(table)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"steps": arguments.steps, "variants": rows, "blind": blind}, indent=1) + "\n")


if __name__ == "__main__":
    main()
