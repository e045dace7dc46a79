# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command drive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..config import DriveConfig
from ..datatypes import BadInput
from ..startup_check import check_startup
from .options import DriveContext, ModelName, Namespace, Rerun, RigName
from .settings_file import read_settings, settings_option

SETTINGS = ("interval", "seed", "device", "threads", "clock")
"""Entries of the settings file, fields of DriveConfig."""


def drive(
    source: Annotated[
        str, typer.Option(help="simulator, robot (its topics), or a recording: rosbag2 folder or mcap file")
    ] = DriveConfig().source,
    duration: Annotated[float, typer.Option(help="length of the drive [s], 0 = until Ctrl-C")] = DriveConfig().duration,
    folder: Annotated[Path, typer.Option("--out", help="folder for drive.jsonl and drive.png")] = Path("out"),
    context: DriveContext = "changing",
    rig: RigName = "front",
    model: ModelName = "",
    namespace: Namespace = "",
    use_sim_time: Annotated[
        bool, typer.Option("--use-sim-time", help="with --source robot: time from /clock, as with Gazebo")
    ] = False,
    rerun: Rerun = None,
    settings: Annotated[Path | None, settings_option(DriveConfig, SETTINGS)] = None,
) -> None:
    """Run all nodes in one process, ask questions on the way, and print answers with their evidence."""
    config = DriveConfig(
        rig=rig,
        model=model,
        **_source(source),
        context=context,
        duration=duration,
        out=str(folder),
        rerun=str(rerun or ""),
        **read_settings(settings, DriveConfig, SETTINGS),
    )
    check_startup(config.rig, config.model, config.device, source=config.source)
    from ..nodes.drive import run

    raise typer.Exit(run(config, namespace or None, use_sim_time))


def _source(source: str) -> dict[str, str]:
    """The parameters `source` and `bag` of the drive node. Raises BadInput."""
    if source in ("simulator", "robot"):
        return {"source": source}
    if not Path(source).exists():
        raise BadInput(f"source is {source!r}: give simulator, robot, or the path of a recording")
    return {"source": "bag", "bag": source}
