# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, out


def train(
    config: Annotated[Path, typer.Option(help="training configuration (YAML), see config/train/", dir_okay=False)],
    folder: Annotated[Path, typer.Option("--out", help="model folder to write", file_okay=False)],
    work: Annotated[Path, typer.Option(help="folder for frames, checkpoints and curves; an interrupted training resumes there")],
    device: Device = "auto",
) -> None:
    """Render, train the encoders, the LLM and the connectors, calibrate, and write a model folder."""
    from ..training.universal.settings import is_universal

    if is_universal(config):
        from ..training.universal.settings import read_settings as read_universal
        from ..training.universal.train import train as train_universal

        model = train_universal(read_universal(config), work, folder)
        out.print(f"{folder}: {model.name} {model.revision}")
        return
    from ..training.settings import read_settings
    from ..training.train import train as train_model

    model = train_model(read_settings(config), work, folder, device)
    out.print(f"{folder}: {model.name} {model.revision}")
