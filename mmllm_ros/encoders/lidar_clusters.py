# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A lidar encoder for lidars that no model was trained with: ground removal, clusters, and a classifier of their shapes.

Geometry is the same in every lidar, so this transfers where a network over whole sweeps does not. Its tokens are those of objects
(objects.py), which the modality-agnostic connector reads without training.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..datatypes import Detection, LidarScan, Tokens
from ..io.frames import points_in_base
from ..rig import LidarMount, Rig
from .base import DetectionEncoder
from .cluster_motion import MotionClassifier, motion_features, standing_points, usable_gap
from .clusters import FEATURES, HIGH, LOW, Clusters, clusters
from .objects import CATEGORIES, located, object_tokens
from .proposals import STATUSES

FARTHEST = 36.0
"""Range [m] up to which objects are reported, as far as the models' own lidar encoder sees."""
KEPT = 16
"""Sweeps whose standing points are kept for the comparison with later ones."""
VEHICLES = ("bus", "car", "construction vehicle", "trailer", "truck")
FLOOR = 0.01
"""Share of the class probabilities that all ten classes divide evenly."""


class ShapeClassifier(nn.Module):
    """Shapes of clusters [n, FEATURES] -> logits [n, 1 + 10] of "no object" and of CATEGORIES, and the way [n, 2] [m] from a
    cluster's middle to the object's centre, away from the lidar and to the left of that direction."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        outputs = 1 + len(CATEGORIES) + 2
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, outputs)
        )

    def forward(self, shapes: Tensor) -> tuple[Tensor, Tensor]:
        return self.layers(((shapes - self.mean) * self.scale).clamp(-5.0, 5.0)).split([1 + len(CATEGORIES), 2], dim=1)


class LidarClusters(DetectionEncoder):
    """Clusters of a sweep as detections; with an earlier sweep also whether they move.

    Args:
        rig: mount of the lidar; its position and number of rings are used.
        width: of the classifier's layers.
        least: detections with a lower score are left out.
        log_priors: added to the logits, for how often "no object" and each class is met outside of the training scenes.
        motion: whether there is a classifier of motion.
    """

    modality = "lidar"

    def __init__(
        self,
        rig: Rig,
        width: int = 64,
        least: float = 0.4,
        log_priors: Sequence[float] = (0.0,) * (1 + len(CATEGORIES)),
        motion: bool = False,
    ) -> None:
        config = {"modality": self.modality, "kind": "clusters", "width": width, "least": least, "log_priors": list(log_priors)}
        super().__init__(rig, config | ({"motion": True} if motion else {}))
        self.classifier = ShapeClassifier(width)
        self.motion = MotionClassifier() if motion else None
        self._standing: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()

    def encode(self, pairs: Sequence[tuple[LidarScan, LidarScan | None]]) -> list[Tokens]:
        """Tokens of each sweep."""
        return [
            object_tokens(self.detect(newest, previous), newest.stamp, newest.source, self.modality, self.revision)
            for newest, previous in pairs
        ]

    def detect(self, sweep: LidarScan, previous: LidarScan | None = None) -> list[Detection]:
        """The objects of a sweep."""
        mount = self.rig.lidar or LidarMount()
        points = points_in_base(sweep.points, mount)
        found = clusters(points, mount.rings)
        numbers, detections = self.classify(found)
        gap = usable_gap(sweep.stamp, previous.stamp) if previous is not None and self.motion is not None else None
        if self.motion is not None:
            standing = points[(found.heights > LOW) & (found.heights < HIGH), :2]
            self._keep(sweep, standing)
        if gap is None or not detections:
            return detections
        features = motion_features(points, found, numbers, self._standing_of(previous, mount), gap)
        moving = self._moving(features, np.stack([item.classes for item in detections]))
        return [replace(item, statuses=statuses(item.classes, p)) for item, p in zip(detections, moving, strict=True)]

    @torch.inference_mode()
    def classify(self, found: Clusters) -> tuple[np.ndarray, list[Detection]]:
        """The clusters that are objects: their numbers [k], and the objects."""
        if not len(found.shapes):
            return np.zeros(0, int), []
        device = self.classifier.mean.device
        logits, offsets = self.classifier(torch.from_numpy(found.shapes).to(device))
        shares = (logits + logits.new_tensor(self.config["log_priors"])).softmax(1).double().cpu().numpy()
        offsets = offsets.cpu().numpy()
        numbers, detections = [], []
        for number, (share, (away, left), centre) in enumerate(zip(shares, offsets, found.centres, strict=True)):
            score = 1.0 - float(share[0])
            if score < self.config["least"]:
                continue
            classes = (1 - FLOOR) * share[1:] / score + FLOOR / len(CATEGORIES)
            line = centre / max(float(np.hypot(*centre)), 0.1)
            place = centre + away * line + left * np.array([-line[1], line[0]])
            if np.hypot(*place) > FARTHEST:
                continue
            numbers.append(number)
            detections.append(Detection(min(score, 0.99), classes, *located((*place, 0.0)), 0.0))
        return np.array(numbers, int), detections

    @torch.inference_mode()
    def _moving(self, features: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """The probability [k] that each object moves."""
        device = self.classifier.mean.device
        logits = self.motion(torch.from_numpy(features).to(device), torch.from_numpy(classes).float().to(device))
        return logits.sigmoid().double().cpu().numpy()

    def _keep(self, sweep: LidarScan, standing: np.ndarray) -> None:
        self._standing[sweep.source, sweep.stamp] = standing
        while len(self._standing) > KEPT:
            self._standing.popitem(last=False)

    def _standing_of(self, sweep: LidarScan, mount: LidarMount) -> np.ndarray:
        """The standing points [n, 2] of an earlier sweep."""
        kept = self._standing.get((sweep.source, sweep.stamp))
        return standing_points(points_in_base(sweep.points, mount)) if kept is None else kept


def statuses(classes: np.ndarray, moving: float) -> np.ndarray:
    """Probabilities of STATUSES of an object with these probabilities of CATEGORIES that moves with probability `moving`.

    One that stands is divided evenly among what a standing object of its class can be: standing still tells no more. A bicycle
    that moves is ridden.
    """
    shares = np.zeros(len(STATUSES))

    def add(share: float, *names: str) -> None:
        shares[[STATUSES.index(name) for name in names]] += share / len(names)

    for category, share in zip(CATEGORIES, classes, strict=True):
        if category in VEHICLES:
            add(share * moving, "moving")
            add(share * (1 - moving), "stopped", "parked")
        elif category == "pedestrian":
            add(share * moving, "moving")
            add(share * (1 - moving), "standing", "not standing")
        elif category in ("bicycle", "motorcycle"):
            add(share * moving, "with rider")
            add(share * (1 - moving), "with rider", "without rider")
        else:
            add(share, *STATUSES)
    return 0.98 * shares + 0.02 / len(STATUSES)
