# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage two: trains each encoder on the truth of rendered frames. Afterwards it is frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ..encoders import CameraEncoder, ImuEncoder, LidarEncoder, load_encoder, make_encoder
from .attribute_calibration import calibrate_attributes
from .loop import Schedule, fit
from .processes import once
from .shards import Shards
from .targets import ABSENT, MIN_RETURNS, CellTargets, cell_targets, ego_targets, lidar_targets

ALONE = 0.1
"""Share of frames without a previous one, as the first frame of a live sensor."""
OFF_CENTRE = 0.3
"""Weight of a cell of an object other than its centre cell."""
NO_MOTION = np.float32([0.0, 0.0, 1.0])
"""Result of scan matching between a sweep and itself."""
EXPOSURE = 0.2
"""Largest relative change of an image's brightness (augmentation)."""
EMPTY_WEIGHT = 0.5
"""Sampling weight of an image without objects; each object adds 1."""


class PretrainingModel(nn.Module):
    """An encoder with the head that only pretraining needs: ego motion."""

    def __init__(self, encoder: CameraEncoder | LidarEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.ego = nn.Linear(encoder.config["width"], 3).to(next(encoder.parameters()).device)

    def loss(self, batch: dict[str, Tensor], cells: list[CellTargets], ego: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Sum of the cell losses and the ego motion's."""
        features, outputs = self.encoder.proposals.read(self.encoder.cells(batch))
        outputs = {group: output.float() for group, output in outputs.items()}
        value, numbers = cell_loss(outputs, cells, self.encoder)
        motion = functional.smooth_l1_loss(self.ego(features.mean(1)).float(), ego)
        return value + motion, {**numbers, "ego": motion.item()}


def cell_loss(
    outputs: dict[str, Tensor], targets: Sequence[CellTargets], encoder: CameraEncoder | LidarEncoder
) -> tuple[Tensor, dict[str, float]]:
    """Objectness over all cells; class, status, colour and position in cells with an object, weighted to its centre."""
    batch = torch.as_tensor(np.concatenate([np.full(len(t.cell), i) for i, t in enumerate(targets)]))
    cell, centre = (torch.as_tensor(np.concatenate([getattr(t, name) for t in targets])) for name in ("cell", "centre"))
    wanted, near = torch.zeros(2, *outputs["object"].shape[:2])
    wanted[batch[centre], cell[centre]] = 1.0
    near[batch, cell] = 1.0
    # Other cells of an object, and cells next to its centre, are penalized less than empty ones.
    near = torch.maximum(near, encoder.local_maximum(wanted))
    weight = torch.where(wanted > 0, 3.0, torch.where(near > 0, 0.3, 1.0))
    scores = outputs["object"].squeeze(-1)
    count = max(1, int(centre.sum()))
    found = (functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none") * weight).sum() / count
    total, numbers = found, {"object": found.item()}
    share = torch.where(centre, 1.0, OFF_CENTRE)
    for group, factor in (("class", 1.0), ("status", 2.0), ("colour", 0.5)):
        label = torch.as_tensor(np.concatenate([t.labels(group) for t in targets]))
        value = functional.cross_entropy(outputs[group][batch, cell], label, ignore_index=ABSENT, reduction="none")
        total = total + factor * (value * share).sum() / (share * (label != ABSENT)).sum().clamp(min=1.0)
        numbers[group] = value[centre & (label != ABSENT)].mean().item()
    place, scale = torch.as_tensor(np.concatenate([t.place for t in targets])), torch.tensor(encoder.place_scale)
    apart = functional.smooth_l1_loss(outputs["place"][batch, cell] * scale, place * scale, reduction="none").mean(1)
    near_by = (apart * share).sum() / share.sum().clamp(min=1.0)
    return total + near_by, {**numbers, "place": near_by.item()}


def mirrored(targets: CellTargets, columns: int) -> CellTargets:
    """The same objects with left and right exchanged."""
    row, column = np.divmod(targets.cell, columns)
    cell = row * columns + columns - 1 - column
    return replace(targets, cell=cell, place=targets.place * np.float32([-1, 1]))


def train_camera(shards: Shards, encoder: CameraEncoder, schedule: Schedule, batch: int, folder: Path, seed: int) -> None:
    """Train on `batch` views a step, half of them mirrored, each with a random brightness."""
    views = len(shards.rig.cameras)
    targets = [target for truth in shards.truths for target in cell_targets(truth, encoder)]
    weights = _sampling_weights([int(target.centre.sum()) for target in targets])

    def draw(rng: np.random.Generator) -> tuple[dict[str, Tensor], list[CellTargets], np.ndarray, float]:
        pictures, side = rng.choice(len(targets), size=batch, p=weights), rng.choice([-1.0, 1.0])
        frames, view = np.divmod(pictures, views)
        tensors, cells = shards.camera(frames, view, rng.random(batch) < ALONE), [targets[picture] for picture in pictures]
        gain = torch.as_tensor(rng.uniform(1 - EXPOSURE, 1 + EXPOSURE, (batch, 1, 1, 1))).float()
        tensors |= {key: (tensors[key] * gain).clamp(max=255.0) for key in ("now", "before")}
        if side < 0:
            tensors |= {key: tensors[key].flip(-1) for key in ("now", "before")}
            cells = [mirrored(target, encoder.columns) for target in cells]
        return tensors, cells, frames, side

    _train_detector("camera", PretrainingModel(encoder), shards, draw, schedule, folder, seed)


def train_lidar(shards: Shards, encoder: LidarEncoder, schedule: Schedule, batch: int, folder: Path, seed: int) -> None:
    """Train on `batch` sweeps a step, each step turned by an angle of its own, half of them mirrored."""
    motions = _motions(shards, encoder, folder)
    weights = _sampling_weights([sum(item.clear_returns >= MIN_RETURNS for item in truth.objects) for truth in shards.truths])

    def draw(rng: np.random.Generator) -> tuple[dict[str, Tensor], list[CellTargets], np.ndarray, float]:
        frames, side = rng.choice(len(shards), size=batch, p=weights), rng.choice([-1.0, 1.0])
        angle = rng.uniform(-math.pi, math.pi)
        view = np.array([[math.cos(angle), -math.sin(angle) * side], [math.sin(angle), math.cos(angle) * side]])
        alone = rng.random(batch) < ALONE
        tensors = shards.lidar(frames, alone)
        tensors["motion"] = torch.as_tensor(np.where(alone[:, None], NO_MOTION, motions[frames]))
        tensors["view"] = torch.as_tensor(view).float().expand(batch, -1, -1)
        # The scan matching result is not mirrored, so neither is the ego motion.
        return tensors, [lidar_targets(shards.truths[frame], encoder.side, view) for frame in frames], frames, 1.0

    _train_detector("lidar", PretrainingModel(encoder), shards, draw, schedule, folder, seed)


def _motions(shards: Shards, encoder: LidarEncoder, folder: Path) -> np.ndarray:
    """Scan matching results of every frame, float32 [frames, 3], cached in `folder`."""
    path = folder / f"motions-{shards.span}.safetensors"
    if not path.is_file():
        parts = np.array_split(np.arange(len(shards)), -(-len(shards) // 16))
        found = [encoder.motion(shards.lidar(part, np.zeros(len(part), bool))) for part in track(parts, "match sweeps")]
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"motions": torch.cat(found)}, path)
    return load_file(path)["motions"].numpy()


def _sampling_weights(objects: Sequence[int]) -> np.ndarray:
    """Sampling probability of each image, by its number of objects."""
    weights = EMPTY_WEIGHT + np.array(objects)
    return weights / weights.sum()


def _train_detector(
    name: str, model: PretrainingModel, shards: Shards, draw: Callable, schedule: Schedule, folder: Path, seed: int
) -> None:
    ego = np.float32([ego_targets(truth.ego) for truth in shards.truths])

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        tensors, cells, frames, side = draw(rng)
        return model.loss(tensors, cells, torch.as_tensor(ego[frames] * np.float32([1.0, side, 1.0])))

    fit(name, model, loss, schedule, folder, seed)


def train_imu(shards: Shards, encoder: ImuEncoder, schedule: Schedule, batch: int, folder: Path, seed: int) -> None:
    """Train on `batch` windows a step: speed, yaw rate and acceleration."""
    ego = np.float32([ego_targets(truth.ego) for truth in shards.truths])

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        frames = rng.integers(len(shards), size=batch)
        read, true = encoder.ego(encoder.cells(shards.imu(frames)).mean(1)).float(), torch.as_tensor(ego[frames])
        return functional.smooth_l1_loss(read, true), {"yaw rate": (read - true)[:, 1].abs().mean().item()}

    fit("imu", encoder, loss, schedule, folder, seed)


TRAINED = {"camera": train_camera, "lidar": train_lidar, "imu": train_imu}


def train_encoder(
    modality: str,
    shards: Shards,
    held_out: Shards | None,
    shape: Mapping[str, Any],
    schedule: Schedule,
    batch: int,
    folder: Path,
    seed: int,
    out: Path,
    device: torch.device,
) -> None:
    """Train the encoder of `modality`, of the usual shape but for `shape`, and save it, frozen and in 16 bits, into `out`.

    `start` in the shape is the folder of an encoder to continue from. Predicted attributes are calibrated on `held_out` frames.
    """
    torch.manual_seed(seed)
    shape = dict(shape)
    start = shape.pop("start", None)
    encoder = load_encoder(Path(start), shards.rig, "cpu") if start else make_encoder(modality, shards.rig, shape)
    encoder = encoder.to(device)
    if schedule.steps:
        TRAINED[modality](shards, encoder, schedule, batch, folder, seed)
    if held_out and not isinstance(encoder, ImuEncoder):
        calibrate_attributes(encoder, held_out)
    once(lambda: encoder.save(out))
