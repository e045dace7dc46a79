# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Finds the shipped files (config/, models/, launch/) in a source checkout, a colcon install or a pip environment."""

from __future__ import annotations

from pathlib import Path

from .datatypes import BadInput


def shared_folder() -> Path:
    """The folder that holds `config` and `models`. Raises BadInput where there is none."""
    here = Path(__file__).parent
    for parent in here.parents:
        for folder in (parent, parent / "share" / "mmllm_ros"):
            if (folder / "package.xml").is_file() and (folder / "config").is_dir():
                return folder
    raise BadInput(f"no config folder of mmllm_ros above {here}: the installation is incomplete")


def default_model() -> Path:
    """The folder of the shipped model."""
    return shared_folder() / "models" / "drive_tiny"
