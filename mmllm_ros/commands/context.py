# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command context."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..rig import load_rig
from .options import Json, RigName, Seed, out, write_json


def context(
    scenes: Annotated[
        int, typer.Option(min=6, help="simulated test scenes, cycling through all kinds of light and weather")
    ] = 300,
    seed: Seed = 0,
    rig: RigName = "front",
    fit: Annotated[
        Path | None, typer.Option(help="first fit the weights on as many training scenes, and write them here")
    ] = None,
    json_file: Json = None,
) -> None:
    """Measure the estimate of light, weather and motion from health signals: confusion tables against the simulator's truth."""
    from ..context.context_estimate import read_weights
    from ..evaluation import context_accuracy

    layout = load_rig(rig)
    if fit:
        context_accuracy.write(context_accuracy.fit(context_accuracy.drives(layout, "train", scenes, seed)), fit)
    weights = read_weights(fit) if fit else None
    report = context_accuracy.confusion(context_accuracy.drives(layout, "test", scenes, seed), layout, weights)
    out.print(context_accuracy.table(report))
    write_json(json_file, report)
