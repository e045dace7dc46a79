# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frame -> tensor -> tokens: one file per modality."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..datatypes import BadInput
from ..device import resolve_device
from ..rig import Rig
from .base import Encoder, History
from .camera import CameraEncoder
from .imu import ImuEncoder
from .lidar import LidarEncoder

__all__ = ["ENCODERS", "CameraEncoder", "Encoder", "History", "ImuEncoder", "LidarEncoder", "load_encoder", "make_encoder"]

ENCODERS: dict[str, type[Encoder]] = {"camera": CameraEncoder, "lidar": LidarEncoder, "imu": ImuEncoder}
"""The encoder of each modality; config.json may ask for another `kind`."""


def _encoder_class(kind: str) -> type[Encoder]:
    if kind == "pretrained camera":
        # Imported here: it brings transformers, seconds and hundreds of MB that the other encoders do without.
        from .pretrained import PretrainedCamera

        return PretrainedCamera
    if kind == "detector":
        from .detector import DetectorCamera

        return DetectorCamera
    return ENCODERS[kind]


def make_encoder(modality: str, rig: Rig, shape: Mapping[str, Any]) -> Encoder:
    """An untrained encoder of `modality` of the usual shape but for `shape`, which may name another `kind`."""
    shape = dict(shape)
    return _encoder_class(shape.pop("kind", modality))(rig, **shape)


def load_encoder(folder: Path, rig: Rig, device: str = "auto") -> Encoder:
    """Read the encoder in `folder` (config.json, model.safetensors). Raises BadInput naming the file and what is wrong."""
    path = folder / "config.json"
    try:
        shape = dict(json.loads(path.read_text()))
        encoder = make_encoder(shape.pop("modality"), rig, shape)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"encoder configuration {path} cannot be used: {' '.join(str(error).split())[:300]}") from error
    encoder.load(folder)
    return encoder.to(resolve_device(device))
