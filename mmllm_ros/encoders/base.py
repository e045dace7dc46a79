# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every encoder is: frames -> tensors -> tokens, with the weights' revision on every token."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..datatypes import FRAME_GAP, NANOSECONDS, Frame, Tokens
from ..io.weights import load_weights, revision_of, save_weights
from ..rig import Rig

MOTION_GAP = round(FRAME_GAP * NANOSECONDS)
"""FRAME_GAP in nanoseconds."""


class History:
    """The recent frames of one source, so that the newest can be paired with the one about MOTION_GAP older."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque(maxlen=64)

    def pair(self, newest: Frame) -> tuple[Frame, Frame | None]:
        """Remember `newest` and return it with its partner, None where no frame is 0.25 to 1 s older."""
        if self._frames and newest.stamp < self._frames[-1].stamp:
            self._frames.clear()
        while self._frames and newest.stamp - self._frames[0].stamp > 2 * MOTION_GAP:
            self._frames.popleft()
        old_enough = [frame for frame in self._frames if newest.stamp - frame.stamp >= MOTION_GAP // 2]
        partner = min(old_enough, key=lambda frame: abs(newest.stamp - frame.stamp - MOTION_GAP), default=None)
        self._frames.append(newest)
        return newest, partner


class Encoder(nn.Module, ABC):
    """Base of the encoders. A subclass states `modality`, takes its shape as keyword arguments and keeps them in `config`."""

    modality: ClassVar[str]
    readouts: ClassVar[int] = 0
    """So many numbers at the end of each token say what was seen, in the terms of proposals.py."""

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
    def sense(self, frame: Frame) -> Tensor:
        """One frame as a compact tensor of fixed shape; data sets store exactly this."""

    def prepare(self, newest: Frame, previous: Frame | None) -> dict[str, Tensor]:
        """Tensors of one frame, without the batch dimension; where `previous` is None the frame stands in for it."""
        before = previous or newest
        return {
            "now": self.sense(newest),
            "before": self.sense(before),
            "gap": torch.tensor((newest.stamp - before.stamp) / NANOSECONDS),
        }

    @abstractmethod
    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """`prepare`d tensors, batched -> values [B, T, D] and places [B, T, 3]."""

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
        """Write config.json and model.safetensors (16-bit) into `folder`, and take over the revision of what was written."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")
        save_weights(self, folder / "model.safetensors")
        self.revision = revision_of(folder)

    def load(self, folder: Path) -> None:
        """Fill the weights from `folder`. Raises BadInput when a file is missing, truncated or of another shape."""
        load_weights(self, folder / "model.safetensors", "encoder")
        self.revision = revision_of(folder)
        self.eval()
