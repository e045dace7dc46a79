# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command adapt."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..datatypes import BadInput
from .options import Device, Json, ModelName, RigName, Seed, out, write_json


def adapt(
    modality: Annotated[list[str] | None, typer.Option("--modality", help="whose connector trains; may be given again")] = None,
    recording: Annotated[
        Path | None, typer.Option(help="folder with recording/ and questions.json; without it the lessons kept in --state")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="what the robot has learned; default ~/.local/state/mmllm_ros")] = None,
    seconds: Annotated[float, typer.Option(help="longest training time [s], 0 = no limit", min=0.0)] = 0.0,
    flops: Annotated[float, typer.Option(help="most floating point operations, 0 = no limit", min=0.0)] = 0.0,
    memory: Annotated[float, typer.Option(help="most resident memory [MB], 0 = no limit", min=0.0)] = 0.0,
    margin: Annotated[float, typer.Option(help="accuracy by which the new weights must win", min=0.0, max=1.0)] = 0.0,
    scenario: Annotated[
        Literal["", "add_lidar", "self_taught_night", "lidar_16_rings", "camera_half_fov"],
        typer.Option(help="measure an adaptation in simulation instead; nothing is swapped in"),
    ] = "",
    questions: Annotated[int, typer.Option(help="lessons of the scenario", min=10)] = 600,
    scenes: Annotated[int, typer.Option(help="test scenes of the scenario", min=2)] = 150,
    curve: Annotated[Path | None, typer.Option(help="write CURVE.csv and CURVE.png of the scenario")] = None,
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    seed: Seed = 0,
    json_file: Json = None,
) -> None:
    """Train the connectors of some modalities; the new weights serve from the next start on, if they are better."""
    from ..resources import model_folder

    folder = model_folder(model)
    if scenario:
        if modality or recording or state:
            raise BadInput("--scenario brings its own modality and lessons: leave out --modality, --recording and --state")
        from ..adaptation.adapt import Request
        from ..adaptation.budget import Budget
        from ..adaptation.scenarios import SCENARIOS, measure, write_curve
        from ..rig import load_rig

        request = Request((SCENARIOS[scenario].learner,), Budget(seconds, flops, memory), margin, seed)
        with tempfile.TemporaryDirectory() as work:
            measured = measure(scenario, folder, load_rig(rig), questions, scenes, request, Path(work), device)
        for key, value in measured.figures.items():
            out.print(f"{key:24} {value:.4g}" if isinstance(value, float) else f"{key:24} {value}")
        write_json(json_file, {**measured.figures, "curve": measured.curve})
        if curve or json_file:
            write_curve(measured, curve or json_file.with_suffix(""))
        return
    from ..adaptation.job import Job, Progress, run

    told = set()

    def tell(progress: Progress) -> None:
        if progress.plan not in told:
            told.add(progress.plan)
            out.print(f"[dim]planned: {progress.plan}[/dim]")

    names = {"model": folder, "recording": recording, "state": state}
    paths = {name: str(path) if path else "" for name, path in names.items()}
    budget = {"seconds": seconds, "flops": flops, "memory": memory, "margin": margin, "seed": seed}
    result = run(Job(modalities=modality or [], rig=rig, device=device, **paths, **budget), tell)
    out.print(result.message)
    cost = f"{result.seconds:.0f} s, {result.flops:.2g} FLOPs, {result.peak_memory_mb:.0f} MB"
    out.print(f"[dim]spent: {cost}; serving: {result.revision} in {result.serving}[/dim]")
    write_json(json_file, asdict(result))
