# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of the universal encoder's training, a YAML file of `kind: universal` (config/train/universal.yaml)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...config import load_yaml
from ...datatypes import BadInput, one_line
from ...encoders.universal.encoder import LAYOUTS
from ..loop import Schedule

KIND = "universal"


@dataclass(frozen=True, slots=True)
class AlignmentStage:
    """`batch` moments of each of the `modalities` that a step draws by `shares`."""

    schedule: Schedule
    batch: int
    modalities: int
    shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class QuestionStage:
    """Questions into the frozen LLM `llm`: connectors of `linked_blocks` blocks, `trunk` and `rank`, a LoRA of rank `lora`.

    A step has `batch` questions, and one modality connected in the share `alone` of the steps, else several.
    """

    schedule: Schedule
    llm: str
    linked_blocks: int
    trunk: int
    rank: int
    lora: int
    alone: float
    batch: int


@dataclass(frozen=True, slots=True)
class UniversalSettings:
    """The whole training. `scenes` by split; `projection` is the shape of UniversalProjection.

    `backbone` is a pretrained vision transformer, by hub name or folder, in place of one that is pretrained on simulated images.
    """

    seed: int
    scenes: dict[str, int]
    projection: dict[str, Any]
    pretraining: AlignmentStage
    alignment: dict[str, AlignmentStage]
    questions: QuestionStage
    backbone: str = ""


def is_universal(path: Path) -> bool:
    """Whether `path` holds settings of this training."""
    try:
        return load_yaml(path.read_text()).get("kind") == KIND
    except (OSError, yaml.YAMLError, AttributeError, ValueError):
        return False


def read_settings(path: Path) -> UniversalSettings:
    """Read a configuration file. Raises BadInput naming the entry."""
    try:
        content = load_yaml(path.read_text())
        if content.pop("kind") != KIND:
            raise ValueError(f"kind is not {KIND!r}")
        pretraining = _alignment({**content.pop("pretraining"), "modalities": 1, "shares": {"image": 1.0}})
        alignment = {name: _alignment(entry) for name, entry in content.pop("alignment").items()}
        entry = content.pop("questions")
        own = {key: entry.pop(key) for key in ("llm", "linked_blocks", "trunk", "rank", "lora", "alone", "batch")}
        questions = QuestionStage(Schedule(**entry), **own)
        return UniversalSettings(**content, pretraining=pretraining, alignment=alignment, questions=questions)
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"training configuration {path}: {one_line(error)}") from error


def _alignment(entry: dict[str, Any]) -> AlignmentStage:
    own = {key: entry.pop(key) for key in ("batch", "modalities", "shares")}
    unknown = set(own["shares"]) - set(LAYOUTS)
    if unknown:
        raise ValueError(f"shares has an entry {sorted(unknown)[0]!r}, not one of {list(LAYOUTS)}")
    return AlignmentStage(Schedule(**entry), **own)
