# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Encoders: each turns camera images, lidar sweeps or IMU samples into a few feature vectors (tokens) with positions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..datatypes import BadInput, one_line
from ..device import resolve_device
from ..rig import Rig
from .base import Encoder
from .camera import CameraEncoder
from .imu import ImuEncoder
from .lidar import LidarEncoder

__all__ = ["ENCODERS", "CameraEncoder", "Encoder", "ImuEncoder", "LidarEncoder", "load_encoder", "make_encoder"]

ENCODERS: dict[str, type[Encoder]] = {"camera": CameraEncoder, "lidar": LidarEncoder, "imu": ImuEncoder}
"""The default encoder of each modality; config.json may name another `kind`."""


def _encoder_class(kind: str) -> type[Encoder]:
    if kind == "pretrained camera":
        # Imported here, because it imports transformers: seconds and hundreds of MB that the other encoders do not need.
        from .pretrained import PretrainedCamera

        return PretrainedCamera
    if kind == "detector":
        from .detector import DetectorCamera

        return DetectorCamera
    if kind == "clusters":
        from .lidar_clusters import LidarClusters

        return LidarClusters
    if kind == "universal":
        from .universal.encoder import UniversalEncoder

        return UniversalEncoder
    return ENCODERS[kind]


def make_encoder(modality: str, rig: Rig, shape: Mapping[str, Any]) -> Encoder:
    """An untrained encoder of `modality` of the default shape, changed by `shape`, which may name another `kind`."""
    shape = dict(shape)
    return _encoder_class(shape.pop("kind", modality))(rig, **shape)


def load_encoder(folder: Path, rig: Rig, device: str = "auto") -> Encoder:
    """Read the encoder in `folder` (config.json, model.safetensors). Raises BadInput."""
    path = folder / "config.json"
    try:
        shape = dict(json.loads(path.read_text()))
        encoder = make_encoder(shape.pop("modality"), rig, shape)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"encoder configuration {path} cannot be used: {one_line(error)}") from error
    encoder.load(folder)
    return encoder.to(resolve_device(device))
