# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How often a thing that a question takes to be there, and is not, is found missing, and how often one that is there is denied.

    python benchmark/missing_things.py --json out/missing_things.json

"Where is the bus?" and the like about six classes in simulated test scenes: with all sensors, and with the camera alone, which
answers questions about colours.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mmllm_ros.dialogue.presupposition import missing_thing
from mmllm_ros.encoders import load_encoder
from mmllm_ros.evaluation.description_accuracy import scenes_of
from mmllm_ros.latent.attention_adapter import LatentCache
from mmllm_ros.metrics.statistics import interval
from mmllm_ros.model import Model
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig

CLASSES = ("car", "truck", "bus", "pedestrian", "bicycle", "motorcycle")


def main() -> None:
    """Drive, ask, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--rig", default="front")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, rig = Model.load(arguments.model, "cpu"), load_rig(arguments.rig)
    encoders = {name: load_encoder(arguments.model / "encoders" / name, rig, "cpu") for name in model.modalities}
    found: dict[tuple[str, bool], list[tuple[str, float]]] = {}
    for one in scenes_of(encoders, rig, "test", arguments.scenes, arguments.seed, "mixed"):
        tokens, present = one.tokens, {item.category for item in one.graph.objects}
        for name, used in (("all sensors", tokens), ("camera", [reading for reading in tokens if reading.modality == "camera"])):
            latents = model.latents(used)
            for category in CLASSES:
                ask = partial(_distribution, model, latents)
                missing = missing_thing(f"Where is the {category}?", "where", ask) is not None
                found.setdefault((name, category in present), []).append((one.name, float(missing)))
    table = Table("sensors", "the thing is", "questions", "called missing, % (95 % over scenes)")
    report = []
    for (name, there), rows in sorted(found.items()):
        share, (low, high) = sum(value for _, value in rows) / len(rows), interval(*zip(*rows, strict=True))
        report.append({"sensors": name, "there": there, "questions": len(rows), "missing": share, "low": low, "high": high})
        figures = f"{100 * share:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        table.add_row(name, "there" if there else "not there", str(len(rows)), figures)
    Console(width=100).print(table)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def _distribution(model: Model, latent_cache: LatentCache, question: str) -> dict[str, float]:
    return model.score(question, latent_cache).distribution


if __name__ == "__main__":
    main()
