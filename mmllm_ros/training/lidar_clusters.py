# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the classifier of lidar clusters (encoders/lidar_clusters.py) on simulated sweeps of randomly drawn lidars and ground.

python -m mmllm_ros.training.lidar_clusters --out models/lidar_clusters --scenes 500
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch.nn import functional

from ..encoders.clusters import Clusters, clusters
from ..encoders.lidar_clusters import LidarClusters
from ..encoders.objects import CATEGORIES
from ..metrics.score_calibration import best_temperature
from ..rig import LidarMount, Rig
from ..simulator.drive import Drive
from ..simulator.splits import scene_seed
from ..simulator.world.crowds import Placed

LIDARS = (
    (16, 15.0, -15.0),
    (32, 10.0, -30.0),
    (32, 10.0, -20.0),
    (40, 7.0, -16.0),
    (64, 2.0, -25.0),
    (64, 15.0, -25.0),
    (128, 15.0, -25.0),
)
"""Rings, and upper and lower edge of the field of view [degrees], of lidars that vehicles carry."""
COLUMNS = (900, 1024, 1800, 2048)
HEIGHT = (0.4, 2.5)
"""Range of the mounting height [m]."""
SIZES = (0.85, 1.12)
"""Range of the factor by which the whole world is larger: vehicles of other continents."""
MOMENTS, PAUSE = 3, 3.0
"""Sweeps of each drive, and the time between them [s]."""
SECTOR = 0.35
"""Share of the sweeps of which a part of 60 to 180 degrees is kept."""
LOG_PRIORS = (1.6, -1.5, 0.5, -2.0, -2.0, -0.5, -1.0, -1.5, -0.5, -1.5, -1.5)
"""Log ratios of how common "no object" and each of CATEGORIES are on streets and in the training scenes, estimated: streets hold
about seven clusters for each object, these scenes two, and of the classes mostly cars and people."""
WHOLE, INSIDE, MARGIN = 0.4, 0.5, 0.25
"""A cluster is an object where so much of the object's points are in it and so much of its points in the object's box, which is
extended by so many metres."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Shapes [n, FEATURES] of the clusters of one sweep, labels int64 [n], 0 = no object, and offsets [n, 2] of the centres."""

    shapes: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray


def draw_mount(rng: np.random.Generator) -> LidarMount:
    """A randomly drawn lidar."""
    rings, up, down = LIDARS[rng.integers(len(LIDARS))]
    position = (float(rng.uniform(-0.5, 1.5)), 0.0, float(rng.uniform(*HEIGHT)))
    up, down = (math.radians(angle + rng.uniform(-2.0, 2.0)) for angle in (up, down))
    return LidarMount(position=position, rings=rings, columns=int(rng.choice(COLUMNS)), fov_up=up, fov_down=down)


def samples(seed: int) -> list[Sample]:
    """The clusters of MOMENTS sweeps of one drive."""
    rng = np.random.default_rng([seed, 40])
    mount = draw_mount(rng)
    drive = Drive(seed, Rig("clusters", (), mount, None), "day" if rng.random() < 0.7 else "mixed")
    made, crowd = [], []
    for _ in range(MOMENTS):
        drive.advance(PAUSE)
        crowd += drive.add_surroundings(rng)
        snapshot = drive.capture()
        factor = rng.uniform(*SIZES)
        points = _elsewhere(snapshot.lidar.points[:, :3] + np.array(mount.position, np.float32), factor, rng)
        boxes = [(item.category, item.position[:2], item.yaw, item.size[:2]) for item in snapshot.truth.objects]
        boxes += [_seen_from(drive.pose, item) for item in crowd]
        made.append(label(clusters(points, mount.rings), points, boxes, factor))
    return made


Box = tuple[str, tuple[float, float], float, tuple[float, float]]
"""Category, x and y [m], yaw [rad], length and width [m] in the base frame."""


def _seen_from(pose: tuple[float, float, float], item: Placed) -> Box:
    dx, dy = item.x - pose[0], item.y - pose[1]
    c, s = math.cos(pose[2]), math.sin(pose[2])
    return item.category, (c * dx + s * dy, c * dy - s * dx), item.yaw - pose[2], item.size[:2]


def _elsewhere(points: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """The points [n, 3] in a world `factor` larger, on rough ground that slopes and bends, with dropouts and a smaller view."""
    points = points[rng.random(len(points)) > rng.uniform(0.0, 0.3) ** 2]
    if rng.random() < SECTOR:
        middle, half = rng.uniform(-math.pi, math.pi), math.radians(rng.uniform(30.0, 90.0))
        turned = np.arctan2(points[:, 1], points[:, 0]) - middle
        points = points[np.abs(np.remainder(turned + math.pi, math.tau) - math.pi) < half]
    points = points * np.float32(factor)
    x, y = points[:, 0], points[:, 1]
    slope, bend = rng.normal(0.0, 0.02, 2), rng.normal(0.0, 4e-4, 2)
    points[:, 2] += slope[0] * x + slope[1] * y + bend[0] * x * np.abs(x) + bend[1] * y * np.abs(y)
    points[:, 2] += rng.normal(0.0, rng.uniform(0.0, 0.03), len(points))
    points[:, :2] += rng.normal(0.0, rng.uniform(0.0, 0.02), (len(points), 2))
    return points.astype(np.float32)


def label(found: Clusters, points: np.ndarray, boxes: Sequence[Box], factor: float) -> Sample:
    """The clusters with the class of the object that each one is."""
    labels, offsets = np.zeros(len(found.shapes), np.int64), np.zeros((len(found.shapes), 2), np.float32)
    used = np.flatnonzero(found.member >= 0)
    member = found.member[used]
    for category, middle, yaw, size in boxes:
        place = np.array(middle) * factor
        dx, dy = (points[used, :2] - place).T
        c, s = math.cos(yaw), math.sin(yaw)
        half_length, half_width = (side * factor / 2 + MARGIN for side in size)
        inside = (np.abs(c * dx + s * dy) < half_length) & (np.abs(c * dy - s * dx) < half_width)
        if not inside.any():
            continue
        counts = np.bincount(member[inside], minlength=len(labels))
        best = int(counts.argmax())
        if counts[best] < WHOLE * inside.sum() or counts[best] < INSIDE * found.counts[best]:
            continue
        labels[best] = 1 + CATEGORIES.index(category)
        line = found.centres[best] / max(float(np.hypot(*found.centres[best])), 0.1)
        way = place - found.centres[best]
        offsets[best] = way @ line, way @ np.array([-line[1], line[0]])
    return Sample(found.shapes, labels, offsets)


def train(encoder: LidarClusters, known: Sample, held_out: Sample, steps: int, seed: int) -> float:
    """Train the classifier of `encoder`, and calibrate it on `held_out`. Returns the accuracy on these."""
    torch.manual_seed(seed)
    classifier = encoder.classifier
    shapes, labels, offsets = (torch.from_numpy(part) for part in (known.shapes, known.labels, known.offsets))
    classifier.mean.copy_(shapes.mean(0))
    classifier.scale.copy_(1 / shapes.std(0).clamp(min=1e-3))
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(shapes), (512,))
        noisy = shapes[rows] + 0.1 / classifier.scale * torch.randn(len(rows), shapes.shape[1])
        logits, way = classifier(noisy)
        there = labels[rows] > 0
        loss = functional.cross_entropy(logits, labels[rows], label_smoothing=0.02)
        loss = loss + 0.3 * functional.smooth_l1_loss(way[there], offsets[rows][there])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        logits, _ = classifier(torch.from_numpy(held_out.shapes))
    true = torch.from_numpy(held_out.labels)
    temperature = best_temperature(logits.log_softmax(1), true)
    with torch.no_grad():
        last = classifier.layers[-1]
        for part in (last.weight, last.bias):
            part[: 1 + len(CATEGORIES)] /= temperature
    return float((logits.argmax(1) == true).float().mean())


def joined(parts: Sequence[Sample]) -> Sample:
    """All samples as one."""
    return Sample(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("shapes", "labels", "offsets")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Train the classifier of lidar clusters.")
    parser.add_argument("--out", type=Path, required=True, help="encoder folder to write")
    parser.add_argument("--scenes", type=int, default=500, help="simulated drives")
    parser.add_argument("--steps", type=int, default=4000, help="optimizer steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    options = parser.parse_args(arguments)
    known = joined([part for n in track(range(options.scenes), "sweeps") for part in samples(scene_seed("train", n))])
    held_out = joined([part for n in range(max(options.scenes // 8, 1)) for part in samples(scene_seed("val", n))])
    encoder = LidarClusters(Rig("clusters", ()), log_priors=LOG_PRIORS)
    right = train(encoder, known, held_out, options.steps, options.seed)
    encoder.save(options.out)
    print(f"{options.out}: {len(known.labels)} clusters, {100 * right:.1f} % of {len(held_out.labels)} others classified rightly")
    return 0


if __name__ == "__main__":
    sys.exit(main())
