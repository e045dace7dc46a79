# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands adapt (train connectors on the robot) and adapt-scenario (measure an adaptation in simulation)."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..config import Validated, parameter
from ..datatypes import BadInput
from ..resources import model_folder
from ..rig import load_rig
from .options import Device, Json, Language, ModelName, RigName, Seed, out, write_json
from .settings_file import read_settings, settings_option


@dataclass(frozen=True)
class AdaptSettings(Validated):
    """Entries of the settings file of both commands."""

    flops: float = parameter(0.0, "most floating point operations, 0 = no limit", minimum=0.0, maximum=1e30)
    memory: float = parameter(0.0, "most resident memory [MB], 0 = no limit", minimum=0.0, maximum=1e9)
    margin: float = parameter(0.0, "accuracy by which the new weights must be better", minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class AdaptSettingsWithSeed(AdaptSettings):
    """Entries of the settings file of `adapt`."""

    seed: int = parameter(0, "seed of the training", minimum=0, maximum=2**31 - 1)


Seconds = Annotated[float, typer.Option(help="longest training time [s], 0 = no limit", min=0.0)]


def adapt(
    modality: Annotated[list[str] | None, typer.Option("--modality", help="whose connector trains; may be given again")] = None,
    recording: Annotated[
        Path | None, typer.Option(help="folder with recording/ and questions.json; without it the samples kept in --state")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="folder of learned weights; default ~/.local/state/mmllm_ros")] = None,
    seconds: Seconds = 0.0,
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    settings: Annotated[Path | None, settings_option(AdaptSettingsWithSeed)] = None,
    json_file: Json = None,
) -> None:
    """Train the connectors of some modalities; the new weights are used from the next start on, if they are better."""
    from ..adaptation.job import AdaptationJob, AdaptationProgress, run

    printed = set()

    def on_progress(progress: AdaptationProgress) -> None:
        if progress.plan not in printed:
            printed.add(progress.plan)
            out.print(f"[dim]planned: {progress.plan}[/dim]")

    names = {"model": model_folder(model), "recording": recording, "state": state}
    paths = {name: str(path) if path else "" for name, path in names.items()}
    limits = read_settings(settings, AdaptSettingsWithSeed)
    result = run(
        AdaptationJob(modalities=modality or [], rig=rig, device=device, seconds=seconds, **paths, **limits), on_progress
    )
    out.print(result.message)
    cost = f"{result.seconds:.0f} s, {result.flops:.2g} FLOPs, {result.peak_memory_mb:.0f} MB"
    out.print(f"[dim]spent: {cost}; serving: {result.revision} in {result.serving}[/dim]")
    write_json(json_file, asdict(result))


def adapt_scenario(
    scenario: Annotated[
        Literal["add_lidar", "self_taught_night", "lidar_16_rings", "camera_half_fov", "add_pack"],
        typer.Argument(help="which adaptation; add_pack needs a model with a universal encoder"),
    ],
    questions: Annotated[int, typer.Option(help="number of labelled samples", min=10)] = 600,
    scenes: Annotated[int, typer.Option(help="number of test scenes", min=2)] = 150,
    seconds: Seconds = 0.0,
    seed: Seed = 0,
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    language: Language = "template",
    settings: Annotated[Path | None, settings_option(AdaptSettings)] = None,
    json_file: Json = None,
) -> None:
    """Measure an adaptation in simulation: accuracy before and after, cost, and the curve beside the --json file."""
    from ..adaptation.adapt import AdaptationRequest
    from ..adaptation.scenarios import SCENARIOS, measure, write_curve
    from ..adaptation.training_plan import TrainingBudget

    limits = AdaptSettings(**read_settings(settings, AdaptSettings))
    budget = TrainingBudget(seconds, limits.flops, limits.memory)
    folder = model_folder(model)
    with tempfile.TemporaryDirectory() as work:
        if scenario == "add_pack":
            from ..adaptation.pack_scenario import measure_pack
            from ..encoders.universal.packs import Packs

            packs = Packs.of_model(folder, load_rig(rig), device)
            if language != "template":
                raise BadInput("add_pack has the questions of config/signal_questions.yaml only: leave --language out")
            measured = measure_pack(folder, packs, questions, scenes, seed, budget, limits.margin, Path(work))
        else:
            request = AdaptationRequest((SCENARIOS[scenario].learner,), budget, limits.margin, seed)
            measured = measure(scenario, folder, load_rig(rig), questions, scenes, request, Path(work), device, language)
    for key, value in measured.figures.items():
        out.print(f"{key:24} {value:.4g}" if isinstance(value, float) else f"{key:24} {value}")
    write_json(json_file, {**measured.figures, "curve": measured.curve})
    if json_file:
        write_curve(measured, json_file.with_suffix(""))
