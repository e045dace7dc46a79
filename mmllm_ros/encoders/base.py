# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Base class of the encoders: frames -> tensors -> tokens, with the revision of the weights on every token."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..datatypes import NANOSECONDS, BadInput, Frame, Tokens
from ..io.weights import load_weights, revision_of, save_weights
from ..rig import Rig
from .objects import TOKEN_WIDTH
from .proposals import ATTRIBUTES


class Encoder(nn.Module, ABC):
    """Base of the encoders. A subclass states `modality`, takes its shape as keyword arguments and keeps them in `config`."""

    modality: ClassVar[str]
    predicted_attributes: ClassVar[int] = 0
    """How many numbers at the end of each token are predicted attributes (proposals.py)."""

    def __init__(self, rig: Rig, config: dict) -> None:
        super().__init__()
        self.rig = rig
        self.config = config
        self.revision = "untrained"

    @property
    @abstractmethod
    def token_width(self) -> int:
        """D, the numbers per token."""

    @abstractmethod
    def to_tensor(self, frame: Frame) -> Tensor:
        """One frame as a compact tensor of fixed shape, as data sets store it."""

    def prepare(self, newest: Frame, previous: Frame | None) -> dict[str, Tensor]:
        """Tensors of one frame, without the batch dimension; where `previous` is None, `newest` takes its place."""
        before = previous or newest
        return {
            "now": self.to_tensor(newest),
            "before": self.to_tensor(before),
            "gap": torch.tensor((newest.stamp - before.stamp) / NANOSECONDS),
        }

    @abstractmethod
    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Batched tensors of `prepare` -> values [B, T, D] and places [B, T, 3]."""

    @torch.inference_mode()
    def encode(self, pairs: Sequence[tuple[Frame, Frame | None]]) -> list[Tokens]:
        """Encode several frames of this modality in one pass, in order."""
        if not pairs:
            return []
        device = next(self.parameters()).device
        prepared = [self.prepare(newest, previous) for newest, previous in pairs]
        batch = {key: torch.stack([item[key] for item in prepared]).to(device) for key in prepared[0]}
        values, places = (part.float().cpu().numpy() for part in self(batch))
        return [
            Tokens(self.modality, newest.source, newest.stamp, np.ascontiguousarray(v), np.ascontiguousarray(p), self.revision)
            for (newest, _), v, p in zip(pairs, values, places, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (16-bit) into `folder`, and set `revision` to that of the written files."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")
        save_weights(self, folder / "model.safetensors")
        self.revision = revision_of(folder)

    def load(self, folder: Path) -> None:
        """Fill the weights from `folder`. Raises BadInput when a file is missing, truncated or of another shape."""
        load_weights(self, folder / "model.safetensors", "encoder")
        self.revision = revision_of(folder)
        self.eval()


class DetectionEncoder(Encoder):
    """Base of the encoders whose tokens are detections (objects.py): a subclass has its own `encode`, and nothing that trains
    with a model."""

    predicted_attributes = ATTRIBUTES

    @property
    def token_width(self) -> int:
        return TOKEN_WIDTH

    def to_tensor(self, frame: Frame) -> Tensor:
        raise BadInput(f"encoder {type(self).__name__} has no tensors to train on: use `encode`")

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        raise BadInput(f"encoder {type(self).__name__} has no tensors to train on: use `encode`")
