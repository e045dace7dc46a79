# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read-outs that are right as often as they say: one temperature for each group, from frames that the encoder never saw.

An encoder is surer than it should be, one that knows its frames by heart most of all. Connectors would learn how far to trust it,
and whoever inherits from them (inherit.py) would trust another sensor as little (arXiv 1706.04599).
"""

from __future__ import annotations

import numpy as np
import torch
from rich.progress import track

from ..encoders import CameraEncoder, LidarEncoder
from ..encoders.proposals import GROUPS, SHARES
from .calibration import best_temperature
from .shards import Shards
from .targets import cell_targets

AT_ONCE, ENOUGH = 8, 600
"""Frames read together, and in all."""


@torch.no_grad()
def calibrate_readouts(encoder: CameraEncoder | LidarEncoder, unseen: Shards) -> dict[str, float]:
    """Scale the heads of `encoder` so that their probabilities fit `unseen` frames; returns the temperature of each group.

    What is read most likely stays what it was.
    """
    outputs, labels = ({group: [] for group in SHARES} for _ in range(2))
    frames, device = np.arange(min(len(unseen), ENOUGH)), next(encoder.parameters()).device
    for part in track(np.array_split(frames, -(-len(frames) // AT_ONCE)), f"calibrate {encoder.modality}"):
        with device:
            _, read = encoder.proposals.read(encoder.cells(unseen.inputs(encoder.modality, part)))
        seen = [targets for frame in part for targets in cell_targets(unseen.truths[frame], encoder)]
        for row, targets in enumerate(seen):
            for group in SHARES:
                cells, label = targets.at_centres(group)
                outputs[group].append(read[group][row, cells])
                labels[group].append(torch.as_tensor(label, device=device))
    found = {}
    for group, head in zip(GROUPS, encoder.proposals.head_rows(), strict=True):
        if group in SHARES and group not in encoder.proposals.unread and sum(map(len, labels[group])):
            with torch.enable_grad():
                found[group] = best_temperature(torch.cat(outputs[group]), torch.cat(labels[group]))
            for part in head:
                part.div_(found[group])
    return found
