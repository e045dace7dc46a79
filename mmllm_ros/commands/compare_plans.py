# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command compare-plans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import Progress

from ..config import Validated, parameter
from ..resources import model_folder
from ..rig import load_rig
from .load_model import load_model
from .options import Device, Json, ModelName, RigName, Seed, out, write_json
from .settings_file import read_settings, settings_option


@dataclass(frozen=True)
class PlanSettings(Validated):
    """Entries of the settings file."""

    epsilon: float = parameter(0.005, "accuracy given up for less compute", minimum=0.0, maximum=1.0)
    budget: float = parameter(0.5, "time of an answer [s], 0 = encode ahead", minimum=0.0, maximum=600.0)


def compare_plans(
    scenario: Annotated[
        Literal["day_to_night_fog", "broken_sensors"], typer.Argument(help="changing light and weather, or failing sensors")
    ],
    drives: Annotated[int, typer.Option(help="number of drives", min=1)] = 1,
    duration: Annotated[float, typer.Option(help="length of a drive [s]", min=1.0)] = 180.0,
    seed: Seed = 0,
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    settings: Annotated[Path | None, settings_option(PlanSettings)] = None,
    folder: Annotated[Path, typer.Option("--out", help="folder for the figure")] = Path("out"),
    json_file: Json = None,
) -> None:
    """Compare the context monitor with fixed plans on the same simulated drives and questions, without ROS."""
    from ..context.modality_selection import AnswerBudget
    from ..context.plan import Rules
    from ..context.plan_table import FILE, PlanTable
    from ..evaluation.cost_accounting import CostAccounting
    from ..evaluation.plan_comparison import PERIOD, compare
    from ..evaluation.plan_comparison_figure import draw
    from ..evaluation.plan_comparison_report import summarise, table
    from ..visualization.report_page.comparisons import FIGURES

    chosen = PlanSettings(**read_settings(settings, PlanSettings))
    layout = load_rig(rig)
    plans = PlanTable.read(model_folder(model) / FILE)
    loaded, encoders = load_model(model, layout, device)
    rules = Rules(epsilon=chosen.epsilon, budget=AnswerBudget(seconds=chosen.budget))
    with Progress(console=out) as progress:
        task = progress.add_task(scenario, total=drives * int(duration / PERIOD + 1))
        found = compare(
            scenario,
            CostAccounting(loaded, encoders),
            plans,
            layout,
            drives,
            duration,
            seed,
            rules,
            lambda: progress.advance(task),
        )
    report = summarise(found, scenario, duration)
    out.print(table(report))
    write_json(json_file, report)
    figure = folder / FIGURES[scenario]
    draw(found, report, figure)
    out.print(f"figure: {figure}")
