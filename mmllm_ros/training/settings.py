# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Settings of `mmllm train --config FILE`, a YAML file; the shipped model's is config/train/drive_tiny.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..config import load_yaml
from ..datatypes import BadInput, one_line
from .loop import Schedule

STAGES = ("camera", "lidar", "imu", "words", "world", "distillation", "connectors", "modality_agnostic")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Settings of a whole training.

    `frames` training frames are rendered, of drives from number `first_scene` on, and `calibration_scenes` for the temperature.
    Encoders and LLM are trained on the first `encoder_frames`, connectors on the last `connector_frames`, 0 = all: encoders are
    more accurate on their own training frames, and connectors trained on those only would rely on them too much. The frames
    beyond `encoder_frames` calibrate the encoders' predicted attributes.

    `llm` is the shape of an LLM to train, or the folder or hub name of a pretrained one; `encoders` holds shapes by modality that
    differ from the default, `name` in it is a pretrained vision model; `connector` is the shape of the connectors. `start` in any
    of them is a folder to continue from; for the connectors, the modality-agnostic one included, it is a model folder. After
    training, the connectors are interpolated by `weight_interpolation` towards their start (WiSE-FT).

    `schedules` and `batches` are by stage; only the stages that are named run. A batch is [views], [sweeps] or [windows] for an
    encoder, [scenes, questions each, most objects] for text, [frames] for distillation, and [frames, questions each] for the
    stages connectors and modality_agnostic.
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
    weight_interpolation: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight_interpolation < 1.0 or (self.weight_interpolation and "start" not in self.connector):
            raise ValueError(f"weight_interpolation is {self.weight_interpolation!r}, not from 0 to 1, or connector has no start")


def read_settings(path: Path) -> TrainSettings:
    """Read a configuration file. Raises BadInput naming the entry."""
    try:
        content = load_yaml(path.read_text())
        stages = content.pop("stages")
        unknown = set(stages) - set(STAGES)
        if unknown:
            raise ValueError(f"stages has an entry {sorted(unknown)[0]!r}, not one of {list(STAGES)}")
        batches = {stage: tuple(entry.pop("batch")) for stage, entry in stages.items()}
        return TrainSettings(**content, schedules={stage: Schedule(**entry) for stage, entry in stages.items()}, batches=batches)
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"training configuration {path}: {one_line(error)}") from error
