# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gives the encoder of lidar clusters a classifier of motion (encoders/cluster_motion.py), trained on pairs of simulated sweeps.

python -m mmllm_ros.training.cluster_motion --encoder models/lidar_clusters --out models/lidar_clusters --scenes 150

Prints the balanced accuracy on drives of the test split.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch.nn import functional

from ..encoders import load_encoder
from ..encoders.cluster_motion import motion_features, standing_points
from ..encoders.clusters import clusters
from ..encoders.lidar_clusters import LidarClusters
from ..encoders.objects import CATEGORIES
from ..rig import Rig
from ..simulator.drive import Drive
from ..simulator.splits import scene_seed
from ..simulator.truth import VEHICLES
from .lidar_clusters import draw_mount, label

MOMENTS, PAUSE = 2, 3.0
"""Pairs of sweeps of each drive, and the time between them [s]."""
GAP = (0.4, 0.6)
"""Range of the time between the sweeps of a pair [s]."""
NOISE = (0.0, 0.02)
"""Range of the standard deviation of a return's place [m]."""
DISTORTED = 0.5
"""Share of the drives whose lidar moves during a sweep."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Objects of pairs of sweeps: features [n, FEATURES], probabilities of CATEGORIES [n, 10], whether each moves bool [n], and
    whether it is a pedestrian [n]."""

    features: np.ndarray
    classes: np.ndarray
    moves: np.ndarray
    walks: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Pairs]) -> Pairs:
        """All of `parts` as one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def pairs(seed: int, encoder: LidarClusters) -> Pairs:
    """The vehicles and pedestrians that `encoder` finds in pairs of sweeps of one drive of a randomly drawn lidar."""
    rng = np.random.default_rng([seed, 41])
    mount = draw_mount(rng)
    drive = Drive(seed, Rig("clusters", (), mount, None), "day", sweep_motion=rng.random() < DISTORTED)
    made = []
    for _ in range(MOMENTS):
        drive.advance(PAUSE)
        drive.add_surroundings(rng)
        gap, noise = round(float(rng.uniform(*GAP)), 2), rng.uniform(*NOISE)
        before = drive.capture().lidar.points
        drive.advance(gap)
        snapshot = drive.capture()
        earlier, points = (
            (part[:, :3] + np.array(mount.position) + rng.normal(0.0, noise, (len(part), 3))).astype(np.float32)
            for part in (before, snapshot.lidar.points)
        )
        found = clusters(points, mount.rings)
        numbers, detections = encoder.classify(found)
        objects = [item for item in snapshot.truth.objects if item.category in (*VEHICLES, "pedestrian")]
        # The class of a cluster is the number of its object, so that its motion can be looked up.
        truth = label(found, points, [(CATEGORIES[0], item.position[:2], item.yaw, item.size[:2]) for item in objects], 1.0)
        known = [index for index, number in enumerate(numbers) if truth.labels[number]]
        if not known:
            continue
        chosen = numbers[known]
        nearest = [_nearest(found.centres[number], truth.offsets[number], objects) for number in chosen]
        made.append(
            Pairs(
                motion_features(points, found, chosen, standing_points(earlier), gap),
                np.stack([detections[index].classes for index in known]).astype(np.float32),
                np.array([item.status == "moving" for item in nearest]),
                np.array([item.category == "pedestrian" for item in nearest]),
            )
        )
    return Pairs.joined(made) if made else _none()


def _nearest(centre: np.ndarray, offset: np.ndarray, objects: Sequence):
    """The object whose centre lies `offset` away from a cluster's middle, see training/lidar_clusters.py."""
    line = centre / max(float(np.hypot(*centre)), 0.1)
    place = centre + offset[0] * line + offset[1] * np.array([-line[1], line[0]])
    return min(objects, key=lambda item: float(np.hypot(*(np.array(item.position[:2]) - place))))


def _none() -> Pairs:
    return Pairs(np.zeros((0, 8), np.float32), np.zeros((0, 10), np.float32), np.zeros(0, bool), np.zeros(0, bool))


def train(encoder: LidarClusters, known: Pairs, steps: int, seed: int) -> None:
    """Train the classifier of motion of `encoder`, both answers with the same weight."""
    torch.manual_seed(seed)
    motion = encoder.motion
    features, classes = torch.from_numpy(known.features), torch.from_numpy(known.classes)
    moves = torch.from_numpy(known.moves).float()
    motion.mean.copy_(features.mean(0))
    motion.scale.copy_(1 / features.std(0).clamp(min=1e-3))
    weights = torch.where(moves > 0, 0.5 / moves.mean().clamp(min=1e-3), 0.5 / (1 - moves.mean()).clamp(min=1e-3))
    optimizer = torch.optim.AdamW(motion.parameters(), lr=1e-2, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(features), (256,))
        noisy = features[rows] + 0.05 / motion.scale * torch.randn(len(rows), features.shape[1])
        logits = motion(noisy, classes[rows])
        loss = functional.binary_cross_entropy_with_logits(logits, moves[rows], weights[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def balanced(encoder: LidarClusters, held_out: Pairs) -> dict[str, tuple[float, int, int]]:
    """Balanced accuracy and the numbers of moving and of standing objects, by kind."""
    with torch.no_grad():
        told = encoder.motion(torch.from_numpy(held_out.features), torch.from_numpy(held_out.classes)).numpy() > 0
    right, report = told == held_out.moves, {}
    for name, part in (("vehicles", ~held_out.walks), ("pedestrians", held_out.walks)):
        moving, still = part & held_out.moves, part & ~held_out.moves
        if moving.any() and still.any():
            report[name] = (float(right[moving].mean() + right[still].mean()) / 2, int(moving.sum()), int(still.sum()))
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Train the classifier of motion of lidar clusters.")
    parser.add_argument("--encoder", type=Path, required=True, help="encoder folder to start from")
    parser.add_argument("--out", type=Path, required=True, help="encoder folder to write")
    parser.add_argument("--scenes", type=int, default=150, help="simulated drives; a third as many of the test split")
    parser.add_argument("--steps", type=int, default=1500, help="optimizer steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    options = parser.parse_args(arguments)
    rig = Rig("clusters", ())
    shapes = load_encoder(options.encoder, rig, "cpu")
    config = {name: shapes.config[name] for name in ("width", "least", "log_priors")}
    encoder = LidarClusters(rig, **config, motion=True)
    encoder.classifier.load_state_dict(shapes.classifier.state_dict())
    known = Pairs.joined([pairs(scene_seed("train", 5000 + n), shapes) for n in track(range(options.scenes), "pairs")])
    held_out = Pairs.joined([pairs(scene_seed("test", n), shapes) for n in range(max(options.scenes // 3, 1))])
    train(encoder, known, options.steps, options.seed)
    encoder.eval().save(options.out)
    for name, (right, moving, still) in balanced(encoder, held_out).items():
        print(f"{name}: balanced accuracy {100 * right:.1f} %, {moving} moving and {still} standing of {len(held_out.moves)}")
    print(f"{len(known.moves)} objects to learn from, {known.moves.sum()} of them moving")
    return 0


if __name__ == "__main__":
    sys.exit(main())
