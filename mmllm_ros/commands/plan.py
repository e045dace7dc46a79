# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..datatypes import BadInput
from ..resources import model_folder
from ..rig import load_rig
from .load_model import load_model
from .options import Device, ModelName, RigName, Seed, out


def plan(
    scenes: Annotated[int, typer.Option(min=1, help="simulated validation scenes")] = 300,
    each: Annotated[int, typer.Option(min=1, max=200, help="questions per scene, at most")] = 16,
    depths: Annotated[str, typer.Option(help="numbers of linked blocks, comma-separated, empty = all and one")] = "",
    seed: Seed = 0,
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    file: Annotated[Path | None, typer.Option("--out", help="without it plan_table.json in the model's folder")] = None,
) -> None:
    """Measure accuracy and cost of each modality set in each context: the context monitor's plan table.

    A model with a universal encoder is asked about moments with every kind of signal, whatever the rig.
    """
    from ..context.plan_table import FILE
    from ..evaluation.plan_table import measure, view

    layout = load_rig(rig)
    loaded, encoders = load_model(model, layout, device)
    measured = measure(loaded, encoders, layout, scenes, seed, each, _depths(depths, loaded.linked_blocks))
    measured.write(file or model_folder(model) / FILE)
    out.print(view(measured))


def _depths(text: str, most: int) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")}) if text else sorted({1, most})
    except ValueError:
        raise BadInput(f"depths is {text!r}, not numbers with commas between") from None
    if not all(1 <= number <= most for number in numbers):
        raise BadInput(f"depths is {text!r}, not numbers between 1 and {most}")
    return numbers
