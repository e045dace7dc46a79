# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frame -> tensor -> tokens: one file per modality."""

from __future__ import annotations

import json
from pathlib import Path

from ..datatypes import BadInput
from ..device import resolve_device
from ..rig import Rig
from .base import Encoder, History
from .camera import CameraEncoder
from .imu import ImuEncoder
from .lidar import LidarEncoder

__all__ = ["ENCODERS", "CameraEncoder", "Encoder", "History", "ImuEncoder", "LidarEncoder", "load_encoder"]

ENCODERS: dict[str, type[Encoder]] = {"camera": CameraEncoder, "lidar": LidarEncoder, "imu": ImuEncoder}
"""The encoder of each modality; config.json may ask for another `kind`."""


def _encoder_class(kind: str) -> type[Encoder]:
    if kind == "pretrained camera":
        # Imported here: it brings transformers, seconds and hundreds of MB that the other encoders do without.
        from .pretrained import PretrainedCamera

        return PretrainedCamera
    return ENCODERS[kind]


def load_encoder(folder: Path, rig: Rig, device: str = "auto") -> Encoder:
    """Read the encoder in `folder` (config.json, model.safetensors). Raises BadInput naming the file and what is wrong."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
        shape = dict(config)
        modality = shape.pop("modality")
        encoder = _encoder_class(shape.pop("kind", modality))(rig, **shape)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"encoder configuration {path} cannot be used: {' '.join(str(error).split())[:300]}") from error
    encoder.load(folder)
    return encoder.to(resolve_device(device))
