# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""mmllm depths: what each number of linked blocks costs and brings."""

from __future__ import annotations

from typing import Annotated

import typer

from ..resources import model_folder
from ..rig import load_rig
from .options import Context, Device, Json, ModelName, RigName, Seed, out, write_json


def depths(
    scenes: Annotated[int, typer.Option(min=2, help="simulated test scenes, none of which is trained on")] = 100,
    seed: Seed = 0,
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    context: Context = "mixed",
    json_file: Json = None,
) -> None:
    """What each number of linked blocks, and closing weak gates, costs and brings: accuracy, FLOPs, time, memory."""
    from ..depths import measure, table
    from ..encoders import load_encoder
    from ..model import Model
    from ..question_sets import simulated

    layout = load_rig(rig)
    folder = model_folder(model)
    loaded = Model.load(folder, device)
    encoders = {name: load_encoder(folder / "encoders" / name, layout, device) for name in loaded.modalities}
    report = {**measure(loaded, simulated(encoders, layout, "test", scenes, seed, context)), "rig": layout.name, "scenes": scenes}
    out.print(table(report))
    write_json(json_file, report)
