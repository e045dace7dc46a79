# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration on real frames, judged on other real frames: scores of the detector, temperature of the answers, abstention.

Every second frame of each source is in one half. What is fitted on one half is measured on the other, and the reverse, so that
each answer is judged with a calibration that has not seen its frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from rich.table import Table

from ..assistant import UNLIKE_TEMPERATURE
from ..datasets.real_frames import RealFrame, box_in_image
from ..datasets.simulated import Example
from ..datatypes import BadInput, CameraFrame, Question
from ..encoders import Encoder
from ..encoders.boxes import overlap_area
from ..encoders.familiarity import Familiarity, is_unlike
from ..encoders.objects import CATEGORIES
from ..metrics.score_calibration import best_scale, best_temperature
from ..metrics.statistics import calibration_error, interval, reliability
from ..model import Model
from .real_evaluation import SEEN_PIXELS, SEEN_RETURNS, encoded_frames

MATCH = 0.3
"""A box of the detector is right where it overlaps a labelled one of its class by more (intersection over union)."""
LEAST_SCORES = (0.15, 0.25, 0.35, 0.45)
"""Least calibrated scores among which the one with the most right answers on the fitted half is taken."""
WANTED = 0.9
"""Abstention: the share of right answers that the given answers should reach on the fitted half."""
FEWEST_BOXES = 20
"""A detector is not calibrated on fewer boxes."""

Asked = Sequence[tuple[RealFrame, Sequence[Question]]]


def calibrate_frames(
    model: Model,
    asked: Asked,
    encoders: Mapping[str, Encoder],
    labels: bool = False,
    familiarity: Mapping[str, Familiarity] | None = None,
) -> dict:
    """Accuracy and calibration error as shipped, with held-out calibration, and as the assistant softens answers from readings
    that `familiarity` (by encoder revision) finds unlike training.

    The encoders keep the configuration that they came with. Returns {"n", "shipped": {"right", "low", "high", "ece"},
    "calibrated": the same and "kept", "kept_right" (abstention), "softened": as shipped, "unlike": the number of frames,
    "fits": one for each half with "temperature", "threshold" and, where there is a detector, "calibration" and "least"}.
    """
    report = _held_out(model, asked, encoders, labels)
    rows, names = report.pop("rows"), [frame.truth.token for frame, _ in asked]
    unlike = [any(is_unlike(tokens, familiarity or {}) for tokens in row.tokens) for row in rows]
    temperatures = [UNLIKE_TEMPERATURE if strange else 1.0 for strange in unlike]
    pairs = [(row, {"temperature": value, "threshold": 0.0}) for row, value in zip(rows, temperatures, strict=True)]
    return {**report, "softened": _figures(names, pairs), "unlike": sum(unlike)}


def _held_out(model: Model, asked: Asked, encoders: Mapping[str, Encoder], labels: bool) -> dict:
    """The report without what `familiarity` says, and "rows": the answers as shipped."""
    if len(asked) < 4:
        raise BadInput(f"{len(asked)} frames with questions are too few to calibrate on half of them: at least 4")
    camera = encoders.get("camera")
    if not hasattr(camera, "boxes_without_riders"):
        return _calibrated(model, asked, encoders, labels, None)
    detect, known = camera.boxes, {}
    # Every image is encoded several times, with the same boxes.
    camera.boxes = lambda image: known[id(image)] if id(image) in known else known.setdefault(id(image), detect(image))
    try:
        return _calibrated(model, asked, encoders, labels, camera)
    finally:
        del camera.boxes


def _calibrated(model: Model, asked: Asked, encoders: Mapping[str, Encoder], labels: bool, detector: Encoder | None) -> dict:
    halves = _halves([frame.source for frame, _ in asked])
    shipped = _scored(model, encoded_frames(asked, encoders, labels))
    rows, fits = [None] * len(asked), []
    for half in (0, 1):
        fitted = [item for item, side in zip(asked, halves, strict=True) if side != half]
        held = [index for index, side in enumerate(halves) if side == half]
        fit = {}
        if detector is not None:
            before = dict(detector.config)
            try:
                fit = _fit_detector(model, detector, fitted, encoders)
                detector.config.update(fit)
                known = _scored(model, encoded_frames(fitted, encoders))
                judged = _scored(model, encoded_frames([asked[index] for index in held], encoders))
            finally:
                detector.config.update(before)
        else:
            known = [shipped[index] for index, side in enumerate(halves) if side != half]
            judged = [shipped[index] for index in held]
        log_probabilities = torch.from_numpy(np.concatenate([row.log_probabilities for row in known]))
        fit["temperature"] = best_temperature(
            log_probabilities, torch.tensor(np.concatenate([row.truth for row in known])), len(known)
        )
        confidence, right = _confidence(known, fit["temperature"])
        fit["threshold"] = _threshold(confidence, right)
        fits.append(fit)
        for index, row in zip(held, judged, strict=True):
            rows[index] = (row, fit)
    names = [frame.truth.token for frame, _ in asked]
    return {
        "n": sum(len(questions) for _, questions in asked),
        "frames": len(asked),
        "shipped": _figures(names, [(row, {"temperature": 1.0, "threshold": 0.0}) for row in shipped]),
        "calibrated": _figures(names, rows),
        "fits": fits,
        "rows": shipped,
    }


def calibration_table(report: dict) -> Table:
    """The figures of `calibrate_frames` for the terminal."""
    view = Table(title=f"held-out calibration: {report['n']} questions about {report['frames']} real frames, in two halves")
    for heading in ("", "right", "95 %", "ECE", "answered", "right of those"):
        view.add_column(heading, justify="left" if not heading else "right")
    for name in ("shipped", "calibrated", *(["softened"] if report["unlike"] else [])):
        row = report[name]
        span = f"{100 * row['low']:.1f}-{100 * row['high']:.1f}"
        view.add_row(
            name,
            f"{100 * row['right']:.1f}",
            span,
            f"{row['ece']:.3f}",
            f"{100 * row['kept']:.1f}",
            f"{100 * row['kept_right']:.1f}",
        )
    unlike = f"{report['unlike']} frames are unlike training; " if report["unlike"] else ""
    view.caption = unlike + "; ".join(", ".join(f"{key} {_shown(value)}" for key, value in fit.items()) for fit in report["fits"])
    return view


def _shown(value: float | Sequence[float]) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "/".join(f"{part:.2f}" for part in value)


def _halves(sources: Sequence[str]) -> list[int]:
    seen: Counter[str] = Counter()
    sides = []
    for source in sources:
        sides.append(seen[source] % 2)
        seen[source] += 1
    return sides


class _Answers:
    """The answers about one frame: log-probabilities [q, answers] at the model's own temperature, the true answers [q], and the
    tokens."""

    def __init__(self, model: Model, example: Example) -> None:
        latent_cache = model.latents(list(example.tokens))
        scored = [model.score(question.question, latent_cache).distribution for question in example.questions]
        self.log_probabilities = np.log(np.maximum([[row[answer] for answer in model.answers] for row in scored], 1e-12))
        self.tokens = example.tokens
        self.truth = np.array([model.answers.index(question.answer) for question in example.questions])


def _scored(model: Model, examples: Sequence[Example]) -> list[_Answers]:
    return [_Answers(model, example) for example in examples]


def _confidence(rows: Sequence[_Answers], temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Confidence [n] and rightness [n] of the best answers."""
    scores = np.concatenate([row.log_probabilities for row in rows]) / temperature
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return shares.max(1), shares.argmax(1) == np.concatenate([row.truth for row in rows])


def _threshold(confidence: np.ndarray, right: np.ndarray) -> float:
    """The lowest confidence from which on WANTED of the answers are right; 1 where none reaches it."""
    order = np.argsort(-confidence)
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.nonzero(shares >= WANTED)[0]
    return float(confidence[order][enough[-1]]) if len(enough) else 1.0


def _figures(names: Sequence[str], rows: Sequence[tuple[_Answers, dict]]) -> dict:
    parts = [(*_confidence([row], fit["temperature"]), fit["threshold"]) for row, fit in rows]
    confidence, right = (np.concatenate([part[index] for part in parts]) for index in (0, 1))
    kept = np.concatenate([part[0] >= part[2] for part in parts])
    scenes = [name for name, part in zip(names, parts, strict=True) for _ in part[0]]
    low, high = interval(scenes, right.astype(float).tolist())
    ece = calibration_error(reliability(confidence, right))
    kept_right = float(right[kept].mean()) if kept.any() else 0.0
    return {
        "right": float(right.mean()),
        "low": low,
        "high": high,
        "ece": ece,
        "kept": float(kept.mean()),
        "kept_right": kept_right,
    }


def _fit_detector(model: Model, detector: Encoder, fitted: Asked, encoders: Mapping[str, Encoder]) -> dict:
    """Scale and shift of the scores, and the least score, by labelled boxes and answers. Raises BadInput for too few boxes."""
    odds, true = [], []
    for frame, _ in fitted:
        for image in (item for item in frame.frames if isinstance(item, CameraFrame)):
            pairs = _judged_boxes(detector, frame, image)
            odds += [np.log(score / (1 - score)) for score, _ in pairs]
            true += [float(right) for _, right in pairs]
    if len(odds) < FEWEST_BOXES:
        raise BadInput(
            f"the detector finds {len(odds)} boxes in half of the frames, too few to calibrate it: at least {FEWEST_BOXES}"
        )
    calibration = best_scale(torch.tensor(odds, dtype=torch.float64), torch.tensor(true, dtype=torch.float64))
    detector.config["calibration"] = list(calibration)
    rights = {}
    for least in LEAST_SCORES:
        detector.config["least"] = least
        rights[least] = float(_confidence(_scored(model, encoded_frames(fitted, encoders)), 1.0)[1].mean())
    return {"calibration": list(calibration), "least": max(rights, key=rights.__getitem__)}


def _judged_boxes(detector: Encoder, frame: RealFrame, image: CameraFrame) -> list[tuple[float, bool]]:
    """Score of each box of the detector, and whether a label says that it is right. Boxes on what the labels leave open, and
    outside the labelled region, are left out."""
    camera = frame.cameras[image.source]
    seen = [
        item
        for item in frame.truth.objects
        if item.returns >= SEEN_RETURNS or max(item.pixels.values(), default=0) >= SEEN_PIXELS
    ]
    labelled = [(item.category, box) for item in seen if (box := box_in_image(item.position, item.size, item.yaw, camera))]
    open_boxes = [box for item in frame.unknown if (box := box_in_image(item.position, item.size, item.yaw, camera))]
    boxes, _ = detector.boxes_without_riders(image.image)
    judged = []
    for corners, scores in zip(boxes.corners, boxes.scores, strict=True):
        kind = CATEGORIES[int(scores.argmax())]
        (ray,) = camera.rays(np.array([[(corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2]]))
        if any(_overlap(corners, box) > MATCH for box in open_boxes) or not bool(frame.region.holds(20 * ray[0], 20 * ray[1])):
            continue
        right = any(name == kind and _overlap(corners, box) > MATCH for name, box in labelled)
        judged.append((float(min(max(scores.max(), 1e-4), 1 - 1e-4)), right))
    return judged


def _overlap(one: np.ndarray, other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    box = np.array(other)
    common = float(overlap_area(one, box[None])[0])
    area = [float((b[2] - b[0]) * (b[3] - b[1])) for b in (one, box)]
    return common / max(sum(area) - common, 1e-9)
