# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Finds the shipped files (config/, models/, launch/) in a source checkout, a colcon install or a pip environment."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .datatypes import BadInput

PRETRAINED, EMBEDDED, UNIVERSAL = "drive_smollm2", "drive_tiny", "universal"
"""The models that ship: one on a base LLM that `mmllm fetch` installs, one that is complete, and one for all kinds of signals."""
PRETRAINED_BASE = "smollm2-135m-instruct"
"""The base LLM of PRETRAINED."""
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""A model on the Hugging Face hub."""
MODALITY_AGNOSTIC = "modality_agnostic"
"""The folder of the modality-agnostic connector in a model folder. It is a part of the revision: copies of it answer questions
for rigs with `detector`, `encoder: clusters` or `objects`."""
ROUTER = "router"
"""The folder of the question router in a model folder. It is a part of the revision, as it decides which way a question goes."""
PACKS = "packs"
"""The folder of the modality packs in a model folder."""
DEFAULT = "MMLLM_MODEL"
"""The environment variable that names another default model."""


def shared_folder() -> Path:
    """The folder that holds `config` and `models`. Raises BadInput where there is none."""
    here = Path(__file__).parent
    for parent in here.parents:
        for folder in (parent, parent / "share" / "mmllm_ros"):
            if (folder / "package.xml").is_file() and (folder / "config").is_dir():
                return folder
    raise BadInput(f"no config folder of mmllm_ros above {here}: the installation is incomplete")


@cache
def config_table(name: str) -> dict[str, Any]:
    """The content of config/`name`, a YAML file that ships; read once, so it must not be changed."""
    return yaml.safe_load((shared_folder() / "config" / name).read_text())


def cache_folder() -> Path:
    """Our folder in the user's cache (XDG_CACHE_HOME, else ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmllm_ros"


def base_folder(name: str) -> Path:
    """Where the base LLM `name` lies, or would lie, in the user's cache."""
    return cache_folder() / "base_models" / name


def is_fetched(name: str) -> bool:
    """Whether the base LLM `name` lies in the cache."""
    return (base_folder(name) / "model.safetensors").is_file()


def default_model() -> Path:
    """The folder of the model that is used where none is named: drive_smollm2 where its base LLM is fetched, else drive_tiny.

    MMLLM_MODEL names another one. A line on stderr says which, once.
    """
    if chosen := os.environ.get(DEFAULT):
        return model_folder(chosen)
    if not is_fetched(PRETRAINED_BASE) or not (shared_folder() / "models" / PRETRAINED).is_dir():
        return _announced(EMBEDDED, f", `mmllm fetch` installs the base LLM of {PRETRAINED}")
    return _announced(PRETRAINED, "")


@cache
def _announced(name: str, more: str) -> Path:
    print(f"model {name}{more}", file=sys.stderr)
    return shared_folder() / "models" / name


def model_folder(name: str) -> Path:
    """The folder of a model: the default one where `name` is empty, a shipped one by its name, else the path `name`."""
    if not name:
        return default_model()
    shipped = shared_folder() / "models" / name
    return shipped if name in (PRETRAINED, EMBEDDED, UNIVERSAL) and not Path(name).is_dir() else Path(name)
