# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draws an answer with the camera images and the lidar sweep at that time, its evidence and whether it was right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..datatypes import Answer, Evidence
from .canvas import text_width, write, write_block

CARD = (400, 720)
"""Height and width of one card [pixels]."""

FEW = 2
"""More sources of one modality than this are summarized as a number and a range of ages."""

_VIEW = 240
_INK, _PALE, _GOOD, _BAD, _PAPER = (30, 34, 40), (110, 118, 128), (24, 128, 72), (196, 48, 40), (250, 250, 247)
_RING_INK = (150, 156, 166)
_HEIGHTS = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_TURBO).reshape(256, 3)[:, ::-1]


@dataclass(frozen=True, slots=True)
class AnswerSnapshot:
    """An answer with the camera images and the lidar sweep at that time.

    `images` maps a camera's name to uint8 [h, w, 3] RGB; `points` is float32 [n, 4] as in LidarScan, None without a lidar;
    `truth` is the true answer, empty where it is unknown.
    """

    images: Mapping[str, np.ndarray]
    points: np.ndarray | None
    answer: Answer
    truth: str = ""
    context: str = ""


def evidence_text(answer: Answer) -> str:
    """The evidence of an answer with ages, for example `camera front 0.21 s, imu 0.03 s` or `6 cameras 0.10 to 0.31 s`."""
    groups: dict[str, list[Evidence]] = {}
    for item in answer.evidence:
        groups.setdefault(item.modality, []).append(item)
    return ", ".join(text for group in groups.values() for text in _group_text(group)) or "no sensor"


def _group_text(group: list[Evidence]) -> list[str]:
    if len(group) <= FEW:
        return [
            f"{item.modality}{'' if item.source == item.modality else ' ' + item.source} {item.age:.2f} s"
            + (f" ({item.note})" if item.note else "")
            for item in group
        ]
    ages = [item.age for item in group]
    return [f"{len(group)} {group[0].modality}s {min(ages):.2f} to {max(ages):.2f} s"]


def draw_card(snapshot: AnswerSnapshot) -> np.ndarray:
    """One answer as uint8 [400, 720, 3] RGB: the cameras, the lidar from above (forward is up), question and answer."""
    canvas = np.full((*CARD, 3), _PAPER, np.uint8)
    canvas[:_VIEW, : CARD[1] - _VIEW] = draw_cameras(snapshot.images, (_VIEW, CARD[1] - _VIEW))
    canvas[:_VIEW, CARD[1] - _VIEW :] = draw_from_above(snapshot.points, _VIEW)
    answer = snapshot.answer
    width = CARD[1] - 28
    y = write_block(canvas, answer.question, 14, _VIEW + 26, 18, _INK, width, lines=2)
    known = bool(snapshot.truth)
    right = answer.answer == snapshot.truth
    text = f"{answer.answer} ({100 * answer.confidence:.0f}% sure)"
    if known:
        text += ": right" if right else f": wrong, the truth is {snapshot.truth}"
    y = write_block(canvas, text, 14, y + 4, 20, (_GOOD if right else _BAD) if known else _INK, width)
    y = write_block(canvas, f"rests on: {evidence_text(answer)}", 14, y, 14, _PALE, width, lines=2)
    for modality, reason in answer.unplugged.items():
        y = write_block(canvas, f"without {modality}: {reason}", 14, y, 14, _PALE, width)
    if snapshot.context:
        cv2.rectangle(canvas, (3, 4), (9 + text_width(snapshot.context, 14), 25), (16, 18, 24), -1)
        write(canvas, snapshot.context, 6, 20, 14, (255, 255, 255))
    return canvas


def draw_sheet(snapshots: Sequence[AnswerSnapshot], title: str, columns: int = 2) -> np.ndarray:
    """Several answers under one title, uint8 [h, w, 3] RGB."""
    gap, header = 12, 56
    rows = math.ceil(len(snapshots) / columns)
    shape = (header + rows * (CARD[0] + gap), gap + columns * (CARD[1] + gap), 3)
    sheet = np.full(shape, (226, 228, 230), np.uint8)
    write_block(sheet, title, gap, 36, 22, _INK, sheet.shape[1] - 2 * gap)
    for index, snapshot in enumerate(snapshots):
        y = header + index // columns * (CARD[0] + gap)
        x = gap + index % columns * (CARD[1] + gap)
        sheet[y : y + CARD[0], x : x + CARD[1]] = draw_card(snapshot)
    return sheet


def draw_from_above(points: np.ndarray | None, size: int, reach: float = 40.0, ground: float = -2.0) -> np.ndarray:
    """Lidar points [n, 4] seen from above, forward up, coloured by height, as uint8 [size, size, 3] RGB.

    `reach` [m] is shown to each side; `ground` [m] is where the road lies on z, about 2 m under a roof lidar.
    """
    canvas = np.full((size, size, 3), (16, 18, 24), np.uint8)
    middle, scale = size // 2, size / (2 * reach)
    for distance in range(10, int(reach) + 1, 10):
        cv2.circle(canvas, (middle, middle), int(distance * scale), (52, 56, 66), 1, cv2.LINE_AA)
        aside = int(0.72 * distance * scale)
        write(canvas, f"{distance} m", middle + aside + 2, middle - aside, 11, _RING_INK)
    if points is None:
        write(canvas, "no lidar", middle - text_width("no lidar", 13) // 2, middle + 26, 13, _RING_INK)
    else:
        # Colours span the road surface to well above a car. Low points are drawn first, the road in grey.
        order = points[np.argsort(points[:, 2])]
        column = (middle - order[:, 1] * scale).astype(int)
        row = (middle - order[:, 0] * scale).astype(int)
        inside = (column >= 0) & (column < size - 1) & (row >= 0) & (row < size - 1)
        row, column, height = row[inside], column[inside], np.clip((order[inside, 2] - ground) / 4.0, 0.0, 1.0)
        colours = _HEIGHTS[(225 * height).astype(np.uint8)]  # the darkest red is invisible on the dark background
        road = height < 0.12
        canvas[row[road], column[road]] = (66, 72, 84)
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            canvas[row[~road] + y, column[~road] + x] = colours[~road]
    nose = np.array([[middle, middle - 7], [middle - 4, middle + 5], [middle + 4, middle + 5]], np.int32)
    cv2.fillConvexPoly(canvas, nose, (255, 255, 255), cv2.LINE_AA)
    return canvas


def camera_grid(count: int) -> tuple[int, int]:
    """Rows and columns of a grid for `count` cameras, at least one."""
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def draw_cameras(images: Mapping[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """All cameras in a grid of `shape`, each with its name; a single camera fills it."""
    canvas = np.full((*shape, 3), (16, 18, 24), np.uint8)
    if not images:
        write(canvas, "no camera", (shape[1] - text_width("no camera", 13)) // 2, shape[0] // 2, 13, _RING_INK)
        return canvas
    rows, columns = camera_grid(len(images))
    height, width = shape[0] // rows, shape[1] // columns
    for index, (name, image) in enumerate(images.items()):
        scale = min(height / image.shape[0], width / image.shape[1])
        fitted = (max(int(image.shape[1] * scale), 1), max(int(image.shape[0] * scale), 1))
        view = cv2.resize(image, fitted, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        y = index // columns * height + (height - view.shape[0]) // 2
        x = index % columns * width + (width - view.shape[1]) // 2
        canvas[y : y + view.shape[0], x : x + view.shape[1]] = view
        if len(images) > 1:
            write(canvas, name, x + 4, y + view.shape[0] - 5, 13, (255, 255, 255))
    return canvas
