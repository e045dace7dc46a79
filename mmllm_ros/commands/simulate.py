# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ..rig import load_rig
from .options import Context, Json, RigName, Seed, out, write_json


def simulate(
    frames: Annotated[int, typer.Option(min=1, help="number of frames, 0.5 s apart, ten per scene")],
    folder: Annotated[Path, typer.Option("--out", help="a new or empty folder", file_okay=False)],
    seed: Seed = 0,
    bag: Annotated[bool, typer.Option("--bag/--no-bag", help="write the recording too, not only questions and truth")] = True,
    rig: RigName = "front",
    context: Context = "mixed",
    json_file: Json = None,
) -> None:
    """Write simulated drives: a recording, questions with true answers, and the ground truth, split by scene."""
    from ..datasets.simulated_recording import simulate as write_drives

    layout = load_rig(rig)
    with Progress(console=out) as progress:
        task = progress.add_task("simulate", total=frames)
        counts = write_drives(folder, frames, seed, layout, context, bag, lambda: progress.advance(task))
    out.print(f"{frames} frames in {folder}: " + ", ".join(f"{count} questions in {split}" for split, count in counts.items()))
    write_json(json_file, {"frames": frames, "seed": seed, "rig": layout.name, "context": context, "questions": counts})
