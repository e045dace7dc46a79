# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage two: each encoder learns to read its own sensor, from the truth of rendered frames. Afterwards it is frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..encoders import CameraEncoder, ImuEncoder, LidarEncoder, make_encoder
from ..encoders.proposals import Proposals
from .loop import Schedule, fit
from .processes import once
from .shards import Shards
from .targets import ABSENT, CellTargets, camera_targets, ego_targets, lidar_targets

ALONE = 0.1
"""Share of frames shown without the older one, as the first frame of a live sensor is."""
ASIDE = 0.3
"""Weight of a cell that shows an object beside its centre."""
EMPTY = 0.5
"""How often a picture without objects is drawn, as against one with one object; each further object counts as much."""


class Reader(nn.Module):
    """An encoder with the heads that only pretraining needs."""

    def __init__(self, encoder: CameraEncoder | LidarEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.ego = nn.Linear(encoder.config["width"], 3)

    def loss(self, batch: dict[str, Tensor], cells: list[CellTargets], ego: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Sum of the cell losses and the ego motion's."""
        features, outputs = self.encoder.proposals.read(self.encoder.cells(batch)[0])
        outputs = {group: output.float() for group, output in outputs.items()}
        value, numbers = cell_loss(outputs, cells, self.encoder.proposals)
        motion = functional.smooth_l1_loss(self.ego(features.mean(1)).float(), ego)
        return value + motion, {**numbers, "ego": motion.item()}


def cell_loss(outputs: dict[str, Tensor], targets: list[CellTargets], grid: Proposals) -> tuple[Tensor, dict[str, float]]:
    """Objectness over all cells; class, status, colour and place where an object is, above all at its centre."""
    batch = torch.from_numpy(np.concatenate([np.full(len(t.cell), i) for i, t in enumerate(targets)]))
    cell, centre = (torch.from_numpy(np.concatenate([getattr(t, name) for t in targets])) for name in ("cell", "centre"))
    wanted, near = torch.zeros(2, *outputs["object"].shape[:2])
    wanted[batch[centre], cell[centre]] = 1.0
    near[batch, cell] = 1.0
    # Elsewhere on an object, or beside its centre, is half right: it is not pushed down as hard as empty road.
    near = torch.maximum(near, functional.max_pool1d(wanted.unflatten(1, (-1, grid.columns)), 3, 1, 1).flatten(1))
    weight = torch.where(wanted > 0, 3.0, torch.where(near > 0, 0.3, 1.0))
    scores = outputs["object"].squeeze(-1)
    count = max(1, int(centre.sum()))
    found = (functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none") * weight).sum() / count
    total, numbers = found, {"object": found.item()}
    share = torch.where(centre, 1.0, ASIDE)
    for group, factor in (("class", 1.0), ("status", 1.0), ("colour", 0.5)):
        name = {"class": "kind"}.get(group, group)
        label = torch.from_numpy(np.concatenate([getattr(t, name) for t in targets]))
        value = functional.cross_entropy(outputs[group][batch, cell], label, ignore_index=ABSENT, reduction="none")
        total = total + factor * (value * share).sum() / (share * (label != ABSENT)).sum().clamp(min=1.0)
        numbers[group] = value[centre & (label != ABSENT)].mean().item()
    place = torch.from_numpy(np.stack([np.concatenate([getattr(t, n) for t in targets]) for n in ("offset", "log_range")], 1))
    scale = torch.tensor([5.0, 2.0])
    apart = functional.smooth_l1_loss(outputs["place"][batch, cell] * scale, place * scale, reduction="none").mean(1)
    near_by = (apart * share).sum() / share.sum().clamp(min=1.0)
    return total + near_by, {**numbers, "place": near_by.item()}


def mirrored(targets: CellTargets, columns: int) -> CellTargets:
    """The same objects with left and right exchanged."""
    row, column = np.divmod(targets.cell, columns)
    cell = row * columns + columns - 1 - column
    return replace(targets, cell=cell, offset=-targets.offset)


def train_camera(shards: Shards, encoder: CameraEncoder, schedule: Schedule, batch: int, folder: Path, seed: int) -> None:
    """Train on `batch` views a step."""
    aspect = encoder.size[0] / encoder.size[1]
    views = len(shards.rig.cameras)
    targets = [
        camera_targets(truth, mount, encoder.rows, encoder.columns, aspect)
        for truth in shards.truths
        for mount in shards.rig.cameras
    ]

    worth = _worth(targets)

    def draw(rng: np.random.Generator) -> tuple[dict[str, Tensor], list[CellTargets], np.ndarray]:
        pictures = rng.choice(len(targets), size=batch, p=worth)
        frames, view = np.divmod(pictures, views)
        return shards.camera(frames, view, rng.random(batch) < ALONE), [targets[picture] for picture in pictures], frames

    _train_reader("camera", Reader(encoder), shards, draw, schedule, folder, seed)


def train_lidar(shards: Shards, encoder: LidarEncoder, schedule: Schedule, batch: int, folder: Path, seed: int) -> None:
    """Train on `batch` sweeps a step."""
    targets = [lidar_targets(truth, shards.rig.lidar, encoder.rows, encoder.columns) for truth in shards.truths]

    worth = _worth(targets)

    def draw(rng: np.random.Generator) -> tuple[dict[str, Tensor], list[CellTargets], np.ndarray]:
        frames = rng.choice(len(targets), size=batch, p=worth)
        return shards.lidar(frames, rng.random(batch) < ALONE), [targets[frame] for frame in frames], frames

    _train_reader("lidar", Reader(encoder), shards, draw, schedule, folder, seed)


def _worth(targets: Sequence[CellTargets]) -> np.ndarray:
    """How likely each picture is to be drawn: most have few objects, or none, and teach little."""
    worth = np.array([EMPTY + target.centre.sum() for target in targets])
    return worth / worth.sum()


def _train_reader(name: str, reader: Reader, shards: Shards, draw: Callable, schedule: Schedule, folder: Path, seed: int) -> None:
    ego = torch.tensor([ego_targets(truth.ego) for truth in shards.truths])

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        tensors, cells, frames = draw(rng)
        motion = ego[torch.from_numpy(frames)]
        if rng.random() < 0.5:
            tensors |= {key: tensors[key].flip(-1) for key in ("now", "before")}
            cells = [mirrored(target, reader.encoder.columns) for target in cells]
            motion = motion * torch.tensor([1.0, -1.0, 1.0])
        return reader.loss(tensors, cells, motion)

    fit(name, reader, loss, schedule, folder, seed)


def train_imu(shards: Shards, encoder: ImuEncoder, schedule: Schedule, batch: int, folder: Path, seed: int) -> None:
    """Train on `batch` windows a step: speed, yaw rate and acceleration."""
    ego = torch.tensor([ego_targets(truth.ego) for truth in shards.truths])
    windows = shards.imu(np.arange(len(shards)))["now"]

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        frames = torch.from_numpy(rng.integers(len(shards), size=batch))
        read = encoder.ego(encoder.cells({"now": windows[frames]}).mean(1)).float()
        value = functional.smooth_l1_loss(read, ego[frames])
        return value, {"yaw rate": (read - ego[frames])[:, 1].abs().mean().item()}

    fit("imu", encoder, loss, schedule, folder, seed)


TRAINED = {"camera": train_camera, "lidar": train_lidar, "imu": train_imu}


def train_encoder(
    modality: str, shards: Shards, shape: Mapping[str, int], schedule: Schedule, batch: int, folder: Path, seed: int, out: Path
) -> None:
    """Train the encoder of `modality`, of the usual shape but for `shape`, and save it, frozen and in 16 bits, into `out`."""
    torch.manual_seed(seed)
    encoder = make_encoder(modality, shards.rig, shape)
    TRAINED[modality](shards, encoder, schedule, batch, folder, seed)
    once(lambda: encoder.save(out))
