# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command depths."""

from __future__ import annotations

from typing import Annotated

import typer

from ..rig import load_rig
from .load_model import load_model
from .options import Context, Device, Json, Language, ModelName, RigName, Seed, out, write_json


def depths(
    scenes: Annotated[int, typer.Option(min=2, help="simulated test scenes, none of which is trained on")] = 100,
    seed: Seed = 0,
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    context: Context = "mixed",
    language: Language = "template",
    json_file: Json = None,
) -> None:
    """Measure accuracy, FLOPs, time and memory for each number of linked blocks, and with weak gates closed."""
    from ..datasets.simulated import simulated_examples
    from ..evaluation.depth_sweep import measure, table

    layout = load_rig(rig)
    loaded, encoders = load_model(model, layout, device)
    measured = measure(loaded, simulated_examples(encoders, layout, "test", scenes, seed, context, language=language))
    report = {**measured, "rig": layout.name, "scenes": scenes, "language": language}
    out.print(table(report))
    write_json(json_file, report)
