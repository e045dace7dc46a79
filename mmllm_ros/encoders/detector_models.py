# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Object detectors behind one call: image -> boxes and class scores. ONNX files by onnxruntime, Hugging Face models by
transformers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ..datatypes import BadInput
from .coco import COCO

LAYOUTS = ("nanodet", "yolo", "detr")
"""What an ONNX file gives, see the functions of the same names."""
FLOOR = 0.05
"""Boxes whose best score is lower are dropped at once."""


class Detector(Protocol):
    """`names` are the classes; calling it with images uint8 [h, w, 3] RGB gives corners [n, 4] in pixels and scores [n, classes]
    for each."""

    names: Sequence[str]

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]: ...


class OnnxDetector:
    """An ONNX file with one image input [1 or N, 3, h, w] and outputs of a stated layout.

    Args:
        path: of the file.
        layout: one of LAYOUTS.
        size: height and width of the input in pixels.
        names: the classes, in the order of the scores.
    """

    def __init__(self, path: Path, layout: str, size: tuple[int, int], names: Sequence[str] = COCO) -> None:
        if layout not in LAYOUTS:
            raise BadInput(f"layout {layout!r} of detector {path} is not one of {list(LAYOUTS)}")
        try:
            import onnxruntime
        except ImportError as error:
            raise BadInput(f"detector {path} needs onnxruntime: `pip install onnxruntime`") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BadInput(f"detector {path} cannot be loaded: {' '.join(str(error).split())[:200]}") from error
        self._input = self._session.get_inputs()[0].name
        self.names, self.layout, self.size, self.path = tuple(names), layout, tuple(size), path

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self._one(image) for image in images]

    def _one(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = self.size
        scale = np.array([image.shape[1] / width, image.shape[0] / height] * 2)
        shrinks = image.shape[0] > height
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        outputs = self._session.run(None, {self._input: _PREPARE[self.layout](resized)})
        corners, scores = _READ[self.layout]([output[0] for output in outputs], self.size)
        if scores.shape[1] != len(self.names):
            raise BadInput(f"detector {self.path} gives {scores.shape[1]} class scores, but {len(self.names)} classes are named")
        strong = scores.max(1, initial=0.0) >= FLOOR
        return corners[strong].clip(0, [width, height] * 2) * scale, scores[strong]


def _bgr_normalized(image: np.ndarray) -> np.ndarray:
    pixels = (image[..., ::-1].astype(np.float32) - (103.53, 116.28, 123.675)) / (57.375, 57.12, 58.395)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)


def _unit_range(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255.0)


def nanodet(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """For each stride one output of class scores [cells, classes] after the sigmoid and one of 4 x bins logits [cells, 4 bins] of
    the distances to left, top, right and bottom in strides."""
    wide = {}
    for output in outputs:
        wide.setdefault(len(output), []).append(output)
    corners, scores = [], []
    for cells, (one, other) in wide.items():
        # Scores lie between 0 and 1, logits do not.
        shares, logits = (one, other) if one.min() >= 0 and one.max() <= 1 else (other, one)
        stride = round((size[0] * size[1] / cells) ** 0.5)
        columns = size[1] // stride
        weights = np.exp(logits.reshape(cells, 4, -1) - logits.reshape(cells, 4, -1).max(-1, keepdims=True))
        away = (weights / weights.sum(-1, keepdims=True)) @ np.arange(weights.shape[-1]) * stride
        number = np.arange(cells)
        x, y = (number % columns + 0.5) * stride, (number // columns + 0.5) * stride
        corners.append(np.stack([x - away[:, 0], y - away[:, 1], x + away[:, 2], y + away[:, 3]], 1))
        scores.append(shares)
    return np.concatenate(corners), np.concatenate(scores)


def yolo(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One output [4 + classes, boxes] or [boxes, 4 + classes]: centre, width, height in pixels of the input, then class
    scores."""
    table = outputs[0]
    table = table.T if table.shape[0] < table.shape[1] else table
    return _from_centres(table[:, :4]), table[:, 4:]


def detr(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Class logits [boxes, classes] (sigmoid), and boxes [boxes, 4] as centre, width, height in shares of the image: RT-DETR,
    D-FINE."""
    boxes = next(output for output in outputs if output.shape[-1] == 4)
    logits = next(output for output in outputs if output is not boxes)
    corners = _from_centres(boxes) * np.array([size[1], size[0]] * 2)
    return corners, 1 / (1 + np.exp(-logits.astype(np.float64)))


def _from_centres(boxes: np.ndarray) -> np.ndarray:
    centre, half = boxes[:, :2], boxes[:, 2:4] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


_PREPARE = {"nanodet": _bgr_normalized, "yolo": _unit_range, "detr": _unit_range}
_READ = {"nanodet": nanodet, "yolo": yolo, "detr": detr}


class HubDetector:
    """A Hugging Face object detector (`AutoModelForObjectDetection`: RT-DETRv2, D-FINE, YOLOS, DETR) by folder or by hub name."""

    def __init__(self, source: str, device: str = "cpu") -> None:
        # Imported here: it brings transformers, which an ONNX detector does without.
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        try:
            self._model = AutoModelForObjectDetection.from_pretrained(source, use_safetensors=True).eval().to(device)
            self._processor = AutoImageProcessor.from_pretrained(source)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise BadInput(f"object detector {source} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
        labels = self._model.config.id2label
        self.names = tuple(labels[index] for index in range(len(labels)))

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        import torch

        found = []
        with torch.inference_mode():
            for image in images:
                inputs = self._processor(images=image, return_tensors="pt").to(self._model.device)
                outputs = self._model(**inputs)
                logits, boxes = outputs.logits[0].float(), outputs.pred_boxes[0].float().cpu().numpy()
                # DETR and YOLOS have one more class, "no object", and a softmax; the others a sigmoid each.
                shares = logits.softmax(-1)[:, :-1] if logits.shape[-1] == len(self.names) + 1 else logits.sigmoid()
                scores = shares.cpu().numpy()
                strong = scores.max(1) >= FLOOR
                found.append((_from_centres(boxes[strong]) * np.array([image.shape[1], image.shape[0]] * 2), scores[strong]))
        return found
