# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera encoder that is an object detector: its boxes, with ranges and colours, become tokens for the modality-agnostic
connector."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..datatypes import BadInput, CameraFrame, Detection, Frame, Tokens
from ..io.distorted_camera import mounted_camera
from ..io.pinhole import Pinhole
from ..io.weights import revision_of
from ..rig import Rig
from .base import DetectionEncoder
from .box_colours import box_colours
from .box_ranges import box_range, project_sweep
from .boxes import Boxes, joined, overlap_area, suppressed, tiles
from .coco import COCO, class_table
from .detector_models import FLOOR, Detector, HubDetector, OnnxDetector
from .objects import CATEGORIES, distribution, object_tokens
from .proposals import STATUSES

COLOURED = ("bus", "car", "construction vehicle", "trailer", "truck")
"""Classes whose colour is asked for."""
RIDDEN = ("bicycle", "motorcycle")
SHARPNESS = 1.5
"""Detectors give every class of an object a score; the odds to this power tell classes apart as well as they do in fact."""
RIDER_OVERLAP = 0.5
"""A person whose width lies by so much within that of a bicycle or motorcycle, and who ends within its height, rides it."""


def class_posterior(scores: np.ndarray) -> np.ndarray:
    """Scores [10] of a sigmoid each -> probabilities of the classes, given that one of them is there: by their odds, a little
    apart."""
    odds = (scores.clip(0.0, 0.999) / (1 - scores.clip(0.0, 0.999))) ** SHARPNESS
    return 0.98 * odds / odds.sum() + 0.02 / len(scores)


class DetectorCamera(DetectionEncoder):
    """An object detector as the camera encoder; nothing of it trains.

    Args:
        rig: mounts of the cameras, by source name.
        name: an ONNX file in the encoder's folder, a Hugging Face folder in it, or a hub name.
        layout: of an ONNX file's outputs, see detector_models.py.
        size: height and width of an ONNX file's input [pixels].
        classes: the detector's class names in the order of its scores; none = COCO's for ONNX, the model's own otherwise.
        meanings: what some of its classes say about ours, added to coco.MEANINGS.
        calibration: scale and shift of a score's log odds, after which it is the probability that the box is right.
        least: boxes with a lower calibrated score are left out.

    `cameras` holds calibrations by source name that are better known than the rig's mounts. `sweep_at` gives the lidar points of
    a stamp [ns], float32 [n, 3+] in the base frame, or None; they give ranges where `encode` gets no points.
    """

    modality = "camera"

    def __init__(
        self,
        rig: Rig,
        name: str,
        layout: str = "",
        size: tuple[int, int] = (416, 416),
        classes: Sequence[str] = (),
        meanings: Mapping[str, Mapping[str, float]] | None = None,
        calibration: tuple[float, float] = (1.0, 0.0),
        least: float = 0.15,
    ) -> None:
        config = {"modality": self.modality, "kind": "detector", "name": name, "layout": layout, "size": list(size)}
        config |= {"classes": list(classes), "meanings": dict(meanings or {}), "calibration": list(calibration), "least": least}
        super().__init__(rig, config)
        self.cameras: dict[str, Pinhole] = {}
        self.sweep_at: Callable[[int], np.ndarray | None] = lambda stamp: None
        self.detector: Detector | None = None
        self._table: np.ndarray | None = None

    def load(self, folder: Path) -> None:
        """Load the detector. Raises BadInput where it or what runs it is missing."""
        name = self.config["name"]
        if name.endswith(".onnx"):
            names = self.config["classes"] or COCO
            self.use(OnnxDetector(folder / name, self.config["layout"], tuple(self.config["size"]), names))
        else:
            self.use(HubDetector(str(folder / name) if (folder / name).is_dir() else name))
        self.revision = revision_of(folder)

    def use(self, detector: Detector) -> None:
        """Take a detector that is loaded already."""
        self.detector = detector
        self._table = class_table(detector.names, self.config["meanings"])

    def save(self, folder: Path) -> None:
        """Write config.json; the detector's own files stay where they are."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")

    def encode(self, pairs: Sequence[tuple[Frame, Frame | None]], points: np.ndarray | None = None) -> list[Tokens]:
        """Tokens of each view; `points` float32 [n, 3+] are lidar points of the base frame, which give ranges."""
        made = []
        for frame, _ in pairs:
            camera = self.camera(frame)
            mount = self.rig.camera(frame.source)
            found = self.detect(frame.image, camera, self.sweep_at(frame.stamp) if points is None else points)
            view = (mount.bearing, mount.fov / 2)
            made.append(object_tokens(found, frame.stamp, frame.source, self.modality, self.revision, view))
        return made

    def camera(self, frame: CameraFrame) -> Pinhole:
        """The calibration of a frame's camera, for the size of its image."""
        if frame.source in self.cameras:
            return self.cameras[frame.source]
        height, width = frame.image.shape[:2]
        return mounted_camera(self.rig.camera(frame.source), width, height)

    def detect(self, image: np.ndarray, camera: Pinhole, points: np.ndarray | None = None) -> list[Detection]:
        """Objects in one image, surest first."""
        sweep = project_sweep(points, camera) if points is not None else None
        boxes, ridden = self.boxes_without_riders(image)
        detections = []
        for corners, scores, rider in zip(boxes.corners, boxes.scores, ridden, strict=True):
            score = self.calibrated(scores.max())
            if score < self.config["least"]:
                continue
            classes = class_posterior(scores)
            kind = CATEGORIES[int(np.argmax(classes))]
            bearing, elevation, distance, spread = box_range(corners, classes, camera, sweep)
            statuses = distribution(STATUSES, {"with rider" if rider else "without rider": 0.9}, 0.1) if kind in RIDDEN else None
            colours = box_colours(image, corners) if kind in COLOURED else None
            detections.append(Detection(score, classes, bearing, elevation, distance, spread, statuses, colours))
        return detections

    def boxes(self, image: np.ndarray) -> Boxes:
        """The detector's boxes in an image of any size, with scores [n, 10] of our classes, without duplicates."""
        if self.detector is None or self._table is None:
            raise BadInput(f"detector {self.config['name']} is not loaded")
        places = tiles(image.shape[1], image.shape[0])
        views = [image[top : top + height, left : left + width] for left, top, width, height in places]
        parts = []
        for place, (corners, scores) in zip(places, self.detector(views), strict=True):
            ours = scores @ self._table
            strong = ours.max(1) >= FLOOR
            parts.append((place, corners[strong], ours[strong]))
        return suppressed(joined(parts, image.shape[1]))

    def calibrated(self, score: float) -> float:
        """The probability that a box of this score is right."""
        scale, shift = self.config["calibration"]
        score = min(max(score, 1e-4), 1 - 1e-4)
        return 1 / (1 + math.exp(-(scale * math.log(score / (1 - score)) + shift)))

    def boxes_without_riders(self, image: np.ndarray) -> tuple[Boxes, list[bool]]:
        """The boxes of an image without persons who ride, and which of the others are ridden."""
        boxes = self.boxes(image)
        kinds = [CATEGORIES[index] for index in boxes.scores.argmax(1)] if len(boxes) else []
        ridden, riders = [False] * len(boxes), set()
        for index, kind in enumerate(kinds):
            if kind not in RIDDEN:
                continue
            cycle = boxes.corners[index]
            for other, name in enumerate(kinds):
                person = boxes.corners[other]
                if name != "pedestrian" or not cycle[1] < person[3] < cycle[3] + 0.2 * (cycle[3] - cycle[1]):
                    continue
                tall = np.array([[cycle[0], person[1], cycle[2], person[3]]])
                width = (person[2] - person[0]) * (person[3] - person[1])
                if overlap_area(person, tall)[0] > RIDER_OVERLAP * width:
                    ridden[index] = True
                    riders.add(other)
        kept = [index for index in range(len(boxes)) if index not in riders]
        return boxes.of(np.array(kept, dtype=int)), [ridden[index] for index in kept]
