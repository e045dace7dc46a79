# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Zero-shot object detectors: boxes of whatever a noun names, by a Hugging Face model (OWL-ViT, OWLv2, Grounding DINO)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..datatypes import BadInput, CameraFrame
from ..io.distorted_camera import mounted_camera
from ..rig import Rig
from .box_ranges import place_of_unknown, project_sweep
from .boxes import joined, suppressed, tiles

LEAST = {"owlvit": 0.1, "owlv2": 0.1}
"""Least score of a box by type of model, as their authors use it: OWL-ViT (arXiv 2205.06230) and OWLv2 (2306.09683)."""
LEAST_OF_OTHERS = 0.3
"""Of Grounding DINO (arXiv 2303.05499) and others."""
FLOOR = 0.01
"""Boxes with a lower score are not looked at."""


class NounDetector(Protocol):
    """Called with an image uint8 [h, w, 3] RGB and a noun, it gives corners [n, 4] in pixels and scores [n]. A box is there where
    its score is at least `least`."""

    least: float

    def __call__(self, image: np.ndarray, noun: str) -> tuple[np.ndarray, np.ndarray]: ...


class ZeroShotDetector:
    """A Hugging Face zero-shot object detector by folder or by hub name. Raises BadInput where it cannot be loaded."""

    def __init__(self, source: str, device: str = "cpu") -> None:
        # Imported here: only a rig with an open vocabulary pays for it.
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        try:
            self._model = AutoModelForZeroShotObjectDetection.from_pretrained(source, use_safetensors=True).eval().to(device)
            self._processor = AutoProcessor.from_pretrained(source)
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            reason = " ".join(str(error).split())[:300]
            raise BadInput(f"zero-shot object detector {source} cannot be loaded: {reason}") from error
        self.least = LEAST.get(self._model.config.model_type, LEAST_OF_OTHERS)
        self._named = "input_ids" in inspect.signature(self._processor.post_process_grounded_object_detection).parameters

    def __call__(self, image: np.ndarray, noun: str) -> tuple[np.ndarray, np.ndarray]:
        import torch

        # Grounding DINO takes one text with a full stop behind each noun, OWL-ViT a list of texts for each image.
        text = f"a {noun}." if self._named else [[f"a photo of a {noun}"]]
        inputs = self._processor(text=text, images=image, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            outputs = self._model(**inputs)
        more = {"input_ids": inputs["input_ids"], "text_threshold": FLOOR} if self._named else {}
        sizes = torch.tensor([image.shape[:2]])
        (found,) = self._processor.post_process_grounded_object_detection(outputs, threshold=FLOOR, target_sizes=sizes, **more)
        corners, scores = found["boxes"].double().cpu().numpy().reshape(-1, 4), found["scores"].double().cpu().numpy()
        height, width = image.shape[:2]
        corners = corners.clip(0, [width, height, width, height])
        inside = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        return corners[inside], scores[inside]


@dataclass(frozen=True, slots=True)
class Found:
    """A thing in an image of camera `source`: `score` of the detector, `bearing` [rad, base frame], `distance` [m], None where
    nothing tells it."""

    source: str
    score: float
    bearing: float
    distance: float | None


def find(detector: NounDetector, noun: str, frames: Sequence[CameraFrame], rig: Rig, points: np.ndarray | None) -> list[Found]:
    """The boxes of `noun` in each image, surest first; `points` float32 [n, 3+] of the base frame give ranges."""
    found = []
    for frame in frames:
        height, width = frame.image.shape[:2]
        camera = mounted_camera(rig.camera(frame.source), width, height)
        sweep = project_sweep(points, camera) if points is not None else None
        parts = []
        for left, top, wide, high in tiles(width, height):
            corners, scores = detector(frame.image[top : top + high, left : left + wide], noun)
            parts.append(((left, top, wide, high), corners, scores[:, None]))
        boxes = suppressed(joined(parts, width))
        for corners, scores in zip(boxes.corners, boxes.scores, strict=True):
            found.append(Found(frame.source, float(scores[0]), *place_of_unknown(corners, camera, sweep)))
    return sorted(found, key=lambda item: -item.score)
