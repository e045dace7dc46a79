# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibrates the probabilities of an encoder's predicted attributes on frames that it was not trained on.

Overfitted encoders are overconfident, and the loss weighs missed objects more than false ones, so detections are too many.
Connectors could learn to correct that, but a warm-started one cannot: the modality-agnostic connector is trained on calibrated
synthetic sensors (synthetic_sensors.py).
"""

from __future__ import annotations

import numpy as np
import torch
from rich.progress import track

from ..encoders import CameraEncoder, LidarEncoder
from ..encoders.proposals import DISTRIBUTIONS, GROUPS
from ..metrics.score_calibration import best_scale, best_temperature
from .shards import Shards
from .targets import cell_targets

BATCH, MOST_FRAMES = 8, 600
"""Frames per forward pass, and largest number of frames."""


@torch.no_grad()
def calibrate_attributes(encoder: CameraEncoder | LidarEncoder, held_out: Shards) -> dict[str, float]:
    """Scale the heads of `encoder` to the probabilities of least cross-entropy on `held_out` frames; objectness is shifted, too.

    The most probable value of each group does not change. Returns the temperature of each group, and as `shift` that of
    objectness [log odds].
    """
    outputs, labels = ({group: [] for group in ("object", *DISTRIBUTIONS)} for _ in range(2))
    frames, device = np.arange(min(len(held_out), MOST_FRAMES)), next(encoder.parameters()).device
    for part in track(np.array_split(frames, -(-len(frames) // BATCH)), f"calibrate {encoder.modality}"):
        with device:
            _, read = encoder.proposals.read(encoder.cells(held_out.inputs(encoder.modality, part)))
        seen = [targets for frame in part for targets in cell_targets(held_out.truths[frame], encoder)]
        for row, targets in enumerate(seen):
            middle = torch.zeros(read["object"].shape[1], device=device)
            middle[torch.as_tensor(targets.cell[targets.centre], device=device)] = 1.0
            outputs["object"].append(read["object"][row, :, 0])
            labels["object"].append(middle)
            for group in DISTRIBUTIONS:
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
        if group in DISTRIBUTIONS and group not in encoder.proposals.unobservable and sum(map(len, labels[group])):
            found[group] = best_temperature(torch.cat(outputs[group]), torch.cat(labels[group]))
            for part in head:
                part.div_(found[group])
    return found
