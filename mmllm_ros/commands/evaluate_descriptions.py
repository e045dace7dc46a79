# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command evaluate-descriptions: how many facts in the sentences of "Describe what is around me" are true."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ..datatypes import BadInput
from ..rig import load_rig
from .load_model import load_model
from .options import Context, Device, Json, ModelName, RigName, Seed, out, write_json


def evaluate_descriptions(
    scenes: Annotated[int, typer.Option(min=2, help="simulated scenes, none of which is trained on")] = 60,
    split: Annotated[Literal["test", "val"], typer.Option(help="val = the scenes on which the threshold was chosen")] = "test",
    sure: Annotated[
        list[float] | None, typer.Option(help="least probability of a stated fact, repeatable; without it the built-in one")
    ] = None,
    seed: Seed = 0,
    context: Context = "mixed",
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    json_file: Json = None,
) -> None:
    """Measure precision and recall of the facts in descriptions, beside the sensors of another scene and the blind LLM."""
    from ..dialogue.description import SURE
    from ..evaluation.description_accuracy import measure, scenes_of, table

    for value in sure or ():
        if not 0.0 < value <= 1.0:
            raise BadInput(f"--sure is {value}, not a probability above 0")
    layout = load_rig(rig)
    loaded, encoders = load_model(model, layout, device)
    report = measure(loaded, scenes_of(encoders, layout, split, scenes, seed, context), sure or (SURE,))
    for example in report["examples"]:
        out.print(example, style="dim")
    out.print(table(report))
    write_json(json_file, report)
