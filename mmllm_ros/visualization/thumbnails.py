# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Thumbnails of sensor data beside the answers: FOLDER/moments/NAME.camera.jpg and NAME.lidar.jpg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..datatypes import BadInput, CameraFrame, Frame, LidarScan
from .drawing import camera_grid, draw_cameras, draw_from_above

SIZE = 320
"""Height and width of the lidar picture [pixels]; the cameras share one picture of twice that width."""

FOLDER = "moments"
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 80]


def draw_thumbnails(images: Mapping[str, np.ndarray], points: np.ndarray | None) -> dict[str, bytes]:
    """JPEG files by kind, "camera" and "lidar", of the sensors that are present.

    Args:
        images: uint8 [h, w, 3] RGB by camera.
        points: float32 [n, 4] as in LidarScan, None without a lidar.
    """
    drawn = {"camera": _cameras(images)} if images else {}
    if points is not None:
        drawn["lidar"] = draw_from_above(points, SIZE)
    return {kind: cv2.imencode(".jpg", picture[..., ::-1], _QUALITY)[1].tobytes() for kind, picture in drawn.items()}


def _cameras(images: Mapping[str, np.ndarray]) -> np.ndarray:
    rows, columns = camera_grid(len(images))
    height, width, _ = max((image.shape for image in images.values()), key=lambda shape: shape[0] / shape[1])
    needed = round(rows * 2 * SIZE / columns * height / width)
    return draw_cameras(images, (min(max(needed, SIZE // 4), 2 * SIZE), 2 * SIZE))


def frame_thumbnails(frames: Sequence[Frame]) -> dict[str, bytes]:
    """`draw_thumbnails` for simultaneous frames."""
    points = [frame.points for frame in frames if isinstance(frame, LidarScan)]
    return draw_thumbnails(
        {frame.source: frame.image for frame in frames if isinstance(frame, CameraFrame)}, points[0] if points else None
    )


def save_thumbnails(folder: Path, name: str, pictures: Mapping[str, bytes]) -> None:
    """Write `pictures` under `name`. Raises BadInput where the folder cannot be written."""
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for kind, content in pictures.items():
            (folder / FOLDER / f"{name}.{kind}.jpg").write_bytes(content)
    except OSError as error:
        raise BadInput(f"{folder / FOLDER} cannot be written: {error.strerror}") from error


def remove_thumbnails(folder: Path) -> None:
    """Remove the pictures of an earlier run."""
    for path in (folder / FOLDER).glob("*.jpg"):
        path.unlink()
