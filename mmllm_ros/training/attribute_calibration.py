# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read-outs that are right as often as they say, by frames that the encoder never saw.

An encoder is surer than it should be, one that knows its frames by heart most of all, and finds too much, since its training
weighs a missed object more than one too many. Connectors would learn how far to trust it, but whoever inherits from the universal
one, which has heard only sensors that are as sure as they are right (inherit.py), would count what is not there.
"""

from __future__ import annotations

import numpy as np
import torch
from rich.progress import track

from ..encoders import CameraEncoder, LidarEncoder
from ..encoders.proposals import GROUPS, SHARES
from .calibration import best_scale, best_temperature
from .shards import Shards
from .targets import cell_targets

AT_ONCE, ENOUGH = 8, 600
"""Frames read together, and in all."""


@torch.no_grad()
def calibrate_readouts(encoder: CameraEncoder | LidarEncoder, unseen: Shards) -> dict[str, float]:
    """Scale the heads of `encoder` so that their probabilities fit `unseen` frames; that of objects is shifted, too.

    What is read most likely stays what it was. Returns the temperature of each group, and as `shift` that of objects [log odds].
    """
    outputs, labels = ({group: [] for group in ("object", *SHARES)} for _ in range(2))
    frames, device = np.arange(min(len(unseen), ENOUGH)), next(encoder.parameters()).device
    for part in track(np.array_split(frames, -(-len(frames) // AT_ONCE)), f"calibrate {encoder.modality}"):
        with device:
            _, read = encoder.proposals.read(encoder.cells(unseen.inputs(encoder.modality, part)))
        seen = [targets for frame in part for targets in cell_targets(unseen.truths[frame], encoder)]
        for row, targets in enumerate(seen):
            middle = torch.zeros(read["object"].shape[1], device=device)
            middle[torch.as_tensor(targets.cell[targets.centre], device=device)] = 1.0
            outputs["object"].append(read["object"][row, :, 0])
            labels["object"].append(middle)
            for group in SHARES:
                cells, label = targets.at_centres(group)
                outputs[group].append(read[group][row, cells])
                labels[group].append(torch.as_tensor(label, device=device))
    found, heads = {}, dict(zip(GROUPS, encoder.proposals.head_rows(), strict=True))
    middles = torch.cat(labels["object"])
    if middles.any():
        scale, shift = best_scale(torch.cat(outputs["object"]), middles)
        for part in heads["object"]:
            part.mul_(scale)
        heads["object"][1].add_(shift)
        found = {"object": 1 / scale, "shift": shift}
    for group, head in heads.items():
        if group in SHARES and group not in encoder.proposals.unread and sum(map(len, labels[group])):
            found[group] = best_temperature(torch.cat(outputs[group]), torch.cat(labels[group]))
            for part in head:
                part.div_(found[group])
    return found
