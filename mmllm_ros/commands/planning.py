# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Commands about what to plug: `plan` measures the table, `context` shows how well light and weather are told, and scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ..datatypes import BadInput
from ..rig import load_rig
from .options import Device, Json, ModelName, RigName, Seed, out, write_json


def plan(
    scenes: Annotated[int, typer.Option(min=1, help="simulated validation scenes")] = 300,
    each: Annotated[int, typer.Option(min=1, max=200, help="questions about each")] = 16,
    depths: Annotated[str, typer.Option(help="numbers of linked blocks, comma-separated, empty = all and one")] = "",
    seed: Seed = 0,
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    file: Annotated[Path | None, typer.Option("--out", help="without it plan_table.json in the model's folder")] = None,
) -> None:
    """Measure what each set of modalities is worth in each context, and what it costs: the context monitor's plan table."""
    from ..context.table import FILE
    from ..encoders import load_encoder
    from ..model import Model
    from ..plan_measure import measure, view
    from ..resources import model_folder

    folder, layout = model_folder(model), load_rig(rig)
    loaded = Model.load(folder, device)
    encoders = {name: load_encoder(folder / "encoders" / name, layout, device) for name in loaded.modalities}
    found = measure(loaded, encoders, layout, scenes, seed, each, _depths(depths, loaded.linked_blocks))
    found.write(file or folder / FILE)
    out.print(view(found))


def _depths(text: str, most: int) -> list[int]:
    try:
        numbers = sorted({int(part) for part in text.split(",")}) if text else sorted({1, most})
    except ValueError:
        raise BadInput(f"depths is {text!r}, not numbers with commas between") from None
    if not all(1 <= number <= most for number in numbers):
        raise BadInput(f"depths is {text!r}, not numbers between 1 and {most}")
    return numbers


def context(
    scenes: Annotated[int, typer.Option(min=6, help="simulated test scenes, each name of light and weather in turn")] = 300,
    seed: Seed = 0,
    rig: RigName = "front",
    fit: Annotated[
        Path | None, typer.Option(help="first fit the weights on as many training scenes, and write them here")
    ] = None,
    json_file: Json = None,
) -> None:
    """How well light, weather and motion are told from the sensors' signals: a confusion table against the simulator's truth."""
    from .. import context_report
    from ..context.estimate import read_weights

    layout = load_rig(rig)
    if fit:
        context_report.write(context_report.fit(context_report.drives(layout, "train", scenes, seed)), fit)
    weights = read_weights(fit) if fit else None
    report = context_report.confusion(context_report.drives(layout, "test", scenes, seed), weights)
    out.print(context_report.table(report))
    write_json(json_file, report)


def scenario(
    name: str, duration: float, drives: int, seed: int, rig: str, model: str, device: str, epsilon: float, budget: float,
    folder: Path, json_file: Path | None,
) -> None:  # fmt: skip
    """`mmllm drive --scenario`: compare plans on simulated drives, without ROS and faster than real time."""
    from ..context.choice import Budget
    from ..context.plan import Rules
    from ..context.table import FILE, PlanTable
    from ..encoders import load_encoder
    from ..model import Model
    from ..page.comparisons import FIGURES
    from ..resources import model_folder
    from ..scenario import PERIOD, compare
    from ..scenario_figure import draw
    from ..scenario_report import summarise, table
    from ..work import Work

    weights, layout = model_folder(model), load_rig(rig)
    plans = PlanTable.read(weights / FILE)
    loaded = Model.load(weights, device)
    encoders = {modality: load_encoder(weights / "encoders" / modality, layout, device) for modality in loaded.modalities}
    rules = Rules(epsilon=epsilon, budget=Budget(seconds=budget))
    with Progress(console=out) as progress:
        task = progress.add_task(name, total=drives * int(duration / PERIOD + 1))
        found = compare(
            name, Work(loaded, encoders), plans, layout, drives, duration, seed, rules, lambda: progress.advance(task)
        )
    report = summarise(found, name, duration)
    out.print(table(report))
    write_json(json_file, report)
    picture = folder / FIGURES[name]
    draw(found, report, picture)
    out.print(f"picture: {picture}")
