# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `mmllm train --config FILE` reads: one YAML file, every entry checked, the shipped one is config/train/drive_tiny.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..datatypes import BadInput, one_line
from .loop import Schedule

STAGES = ("camera", "lidar", "imu", "words", "world", "imitation", "connectors", "universal")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """A whole training.

    `frames` are rendered for training, of drives from number `first_scene` on, `calibration_scenes` driven for the
    temperature. Encoders and LLM learn from the first `encoder_frames` of them, connectors from the last `connector_frames`,
    0 = all: an encoder makes more of frames that it has learned from than of others, and connectors that saw only those would
    trust it too much. Those beyond `encoder_frames` tell how sure an encoder's read-outs should be. `llm` is the shape of one
    to be trained here, or the folder or hub name of a pretrained one; `encoders` the shapes, by modality, that are not the
    usual ones, a `name` in it a pretrained vision model's; `connector` the shape of the connectors. A `start` in any of them
    is the folder of what training goes on from, for connectors, the universal one too, that of a model; the others keep the share
    `keep` of it when they have trained. Training asks for no stage it needs not.
    `schedules` and `batches` go by stage; a batch is [views], [sweeps] or [windows] for an encoder, [scenes, questions each,
    most objects] for text, [frames] for imitation, [frames, questions each] for the connectors and for the universal one.
    """

    name: str
    rig: str
    seed: int
    prompt: str
    frames: int
    calibration_scenes: int
    llm: dict[str, Any] | str
    connector: dict[str, Any]
    schedules: dict[str, Schedule]
    batches: dict[str, tuple[int, ...]]
    encoders: dict[str, dict[str, Any]] = field(default_factory=dict)
    first_scene: int = 0
    encoder_frames: int = 0
    connector_frames: int = 0
    keep: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.keep < 1.0 or (self.keep and "start" not in self.connector):
            raise ValueError(f"keep is {self.keep!r}, not a share from 0 to 1 of what connectors start from")


def read_settings(path: Path) -> TrainSettings:
    """Read a configuration file. Raises BadInput naming the entry."""
    try:
        content = yaml.safe_load(path.read_text())
        stages = content.pop("stages")
        unknown = set(stages) - set(STAGES)
        if unknown:
            raise ValueError(f"stages has an entry {sorted(unknown)[0]!r}, not one of {list(STAGES)}")
        batches = {stage: tuple(entry.pop("batch")) for stage, entry in stages.items()}
        return TrainSettings(**content, schedules={stage: Schedule(**entry) for stage, entry in stages.items()}, batches=batches)
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"training configuration {path}: {one_line(error)}") from error
