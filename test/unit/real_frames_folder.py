# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small synthetic folder in the form of labelled real frames, for tests."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT, FOCAL = 640, 240, 400.0


def box(kind: str, x: float, y: float, status: str | None = None, points: int = 40, **more) -> dict:
    size = [0.7, 0.7, 1.8] if kind == "pedestrian" else [4.4, 1.8, 1.6]
    content = {"class": kind, "center": [x, y, size[2] / 2], "size": size, "yaw": 0.0, "num_points": points, "status": status}
    return {**content, **more}


def write_frame(folder: Path, source: str, name: str, boxes: list[dict], **more) -> Path:
    """One frame with a forward camera at (1, 0, 1.5) and a sweep with a few points on each box."""
    place = folder / source
    place.mkdir(parents=True, exist_ok=True)
    image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    cv2.imwrite(str(place / f"{name}.png"), image)
    rng = np.random.default_rng(len(boxes))
    ground = np.stack([rng.uniform(3, 40, 400), rng.uniform(-15, 15, 400), np.zeros(400), np.full(400, 100.0)], 1)
    on = [[*(np.array(entry["center"]) + rng.normal(0, 0.2, 3)), 200.0] for entry in boxes for _ in range(20)]
    points = np.concatenate([ground, np.array(on).reshape(-1, 4)]).astype(np.float32)
    np.savez(place / f"{name}_lidar.npz", points=points)
    camera = {
        "file": f"{source}/{name}.png", "width": WIDTH, "height": HEIGHT, "bearing_deg": 0.0, "pitch_deg": 2.0,
        "fov_deg": math.degrees(2 * math.atan(WIDTH / 2 / FOCAL)), "position": [1.0, 0.0, 1.5],
        "K": [[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]],
        "T_cam_from_vehicle": [[0, -1, 0, 0], [0, 0, -1, 1.5], [1, 0, 0, -1], [0, 0, 0, 1]],
    }  # fmt: skip
    content = {
        "source": source, "frame": name, "stamp_ns": None, "cameras": {"front": camera},
        "lidar": {"file": f"{source}/{name}_lidar.npz", "rings": 64}, "boxes": boxes, "ignored_boxes": [],
        "label_region": {"type": "camera_image", "camera": "front", "fov_deg": 77.0}, **more,
    }  # fmt: skip
    path = place / f"{name}.json"
    path.write_text(json.dumps(content))
    return path
