# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, the console, and JSON output."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from ..datatypes import BadInput

# Output to a file uses a fixed width, so that tables are not wrapped.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)

RigName = Annotated[str, typer.Option("--rig", help="sensor layout: a shipped name such as front or nuscenes, or a YAML file")]
ModelName = Annotated[str, typer.Option("--model", help="model folder or hub name, empty = the default model")]
Device = Annotated[str, typer.Option(help="torch device: auto, cpu, cuda or cuda:N")]
Namespace = Annotated[str, typer.Option(help="namespace of the robot")]
Json = Annotated[Path | None, typer.Option("--json", help="write the results to this JSON file", dir_okay=False)]
Rerun = Annotated[
    Path | None, typer.Option("--rerun", help="write a rerun recording (.rrd) here; needs rerun-sdk", dir_okay=False)
]
DriveContext = Annotated[
    Literal["day", "night", "rain", "fog", "glare", "mixed", "changing"],
    typer.Option(help="light and weather; changing = another one every 12 s"),
]
Context = Annotated[Literal["day", "night", "rain", "fog", "glare", "mixed"], typer.Option(help="light and weather")]
Language = Annotated[Literal["template", "everyday"], typer.Option(help="wording of the questions")]
Seed = Annotated[int, typer.Option(help="seed of the world", min=0)]


def write_json(path: Path | None, content: Any) -> None:
    """Write `content` as JSON to `path`, if given. Raises BadInput."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error
