# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of the universal encoder's training, a YAML file of `kind: universal` (config/train/universal.yaml)."""

from __future__ import annotations

from dataclasses import dataclass, field
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

    A step has `batch` questions, to which a modality is drawn by `shares`. Only that one is connected in the share `alone` of the
    questions, all in the share `everything`, else a random set with it.

    `renew` are modalities whose connectors begin anew and train, while everything else stays as it is.
    """

    schedule: Schedule
    llm: str
    linked_blocks: int
    trunk: int
    rank: int
    lora: int
    alone: float
    everything: float
    shares: dict[str, float]
    batch: int
    renew: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UniversalSettings:
    """The whole training. `scenes` has the first and the number of scenes by split; `projection` is the shape of
    UniversalProjection.

    `start` is a model folder of an earlier training, which goes on: its encoder, connectors and LoRA. `projection` and
    `pretraining` are for a training without.
    `backbone` is a pretrained vision transformer, by hub name or folder, in place of one that is pretrained on simulated images.
    """

    seed: int
    scenes: dict[str, tuple[int, int]]
    alignment: dict[str, AlignmentStage]
    questions: QuestionStage
    projection: dict[str, Any] = field(default_factory=dict)
    pretraining: AlignmentStage | None = None
    backbone: str = ""
    start: str = ""


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
        if not content.get("start"):
            content["pretraining"] = _alignment(content["pretraining"])
        alignment = {name: _alignment(entry) for name, entry in content.pop("alignment").items()}
        entry = content.pop("questions")
        own = {
            key: entry.pop(key)
            for key in ("llm", "linked_blocks", "trunk", "rank", "lora", "alone", "everything", "shares", "batch")
        }
        renew = tuple(entry.pop("renew", ()))
        if unknown := set(renew) - set(LAYOUTS):
            raise ValueError(f"renew has {sorted(unknown)[0]!r}, not one of {list(LAYOUTS)}")
        questions = QuestionStage(Schedule(**entry), **own, renew=renew)
        scenes = {split: (int(first), int(count)) for split, (first, count) in content.pop("scenes").items()}
        return UniversalSettings(**content, scenes=scenes, alignment=alignment, questions=questions)
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"training configuration {path}: {one_line(error)}") from error


def _alignment(entry: dict[str, Any]) -> AlignmentStage:
    own = {key: entry.pop(key) for key in ("batch", "modalities", "shares")}
    unknown = set(own["shares"]) - set(LAYOUTS)
    if unknown:
        raise ValueError(f"shares has an entry {sorted(unknown)[0]!r}, not one of {list(LAYOUTS)}")
    return AlignmentStage(Schedule(**entry), **own)
