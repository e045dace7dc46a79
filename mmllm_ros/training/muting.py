# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In some frames only read-outs speak, and not all of those: what a connector so learns, another sensor's tokens can inherit.

A lidar finds what a camera finds, but has no colours; a radar would not know classes. A connector that had never met a read-out
that says nothing would take it for something (adaptation/inherit.py). Nor would it believe a sensor that sees more clearly than
its own, so some of those frames are read as a better one would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..encoders.proposals import SHARES, clarify, silence
from ..latent.connector import Connector

MUTED = 0.2
"""Share of frames in which of a modality's tokens only the read-outs speak."""
UNREAD = 1 / 3
"""How often in those a group of read-outs says nothing either."""
CLEAR = 0.5
"""How often those are read more clearly than the sensor does, by any degree."""


@dataclass(frozen=True, slots=True)
class Muting:
    """In which frames only read-outs of a modality speak, bool [F], of which groups not even they, bool [F, 3], and how much more
    clearly than by the sensor they are read, float [F]."""

    rows: Tensor
    groups: Tensor
    clarity: Tensor

    def of(self, connector: Connector, values: Tensor, shown: Tensor) -> Tensor:
        """What is left of tokens [F, T, D] that show what `shown` [F, T, 4] says; tokens without read-outs stay as they are."""
        if not connector.readouts:
            return values
        return silence(clarify(connector.muted(values, self.rows), shown, self.clarity), self.groups)


def draw_muting(modalities: Sequence[str], frames: int, rng: np.random.Generator) -> dict[str, Muting]:
    """What is muted of `frames` frames, of each modality for itself."""
    drawn = {}
    for modality in modalities:
        rows = rng.random(frames) < MUTED
        groups = rows[:, None] & (rng.random((frames, len(SHARES))) < UNREAD)
        clarity = np.float32(rows * (rng.random(frames) < CLEAR) * rng.random(frames))
        drawn[modality] = Muting(*map(torch.as_tensor, (rows, groups, clarity)))
    return drawn
