# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Renders an overview picture with one row for each weather: cameras, lidar from above, range image.

python -m mmllm_ros.simulator.render --out docs/simulator.png
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..datatypes import BadInput, CameraFrame
from ..rig import LidarMount, load_rig
from .drive import Drive
from .sensors.faults import Snapshot
from .truth import CYCLES, VEHICLES, SceneTruth, Weather

ROWS = {
    "day": Weather(light=0.95),
    "dusk": Weather(light=0.28),
    "night": Weather(light=0.03),
    "fog": Weather(light=0.6, fog=0.6),
    "rain": Weather(light=0.45, rain=0.8, wet_lens=0.7),
    "glare": Weather(light=0.7, glare=0.9),
}
"""The weather of each row of the overview."""

SEED = 490
"""A drive with many objects near the vehicle."""

_CELL = (180, 320)
_AROUND = ("front_left", "front", "front_right", "back_left", "back", "back_right")


def mosaic(cameras: Sequence[CameraFrame], cell: tuple[int, int] = _CELL) -> np.ndarray:
    """Six views around the vehicle in two rows, or all views in one row where the rig has others; uint8 RGB."""
    images = {frame.source: cv2.resize(frame.image, cell[::-1], interpolation=cv2.INTER_AREA) for frame in cameras}
    if set(images) != set(_AROUND):
        return np.hstack(list(images.values()))
    return np.vstack([np.hstack([images[name] for name in _AROUND[i : i + 3]]) for i in (0, 3)])


def from_above(points: np.ndarray, truth: SceneTruth, side: int, reach: float = 40.0) -> np.ndarray:
    """Points [n, 4] from above, x up, coloured by height, with the boxes of the truth; uint8 [side, side, 3]."""
    picture = np.full((side, side, 3), 12, np.uint8)
    scale = side / (2 * reach)

    def pixel(x, y):
        return (side / 2 - np.asarray(y) * scale), (side / 2 - np.asarray(x) * scale)

    column, row = (np.round(axis).astype(int) for axis in pixel(points[:, 0], points[:, 1]))
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    height = np.clip((points[inside, 2] + 2.0) / 4.0, 0, 1)
    colours = cv2.applyColorMap((height * 255).astype(np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]
    picture[row[inside], column[inside]] = colours
    for item in truth.objects:
        length, width, _ = item.size
        c, s = math.cos(item.yaw), math.sin(item.yaw)
        corners = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)]) * (length / 2, width / 2) @ np.array([[c, s], [-s, c]])
        outline = np.stack(pixel(corners[:, 0] + item.position[0], corners[:, 1] + item.position[1]), 1)
        colour = (90, 200, 255) if item.category in VEHICLES else (120, 255, 120) if item.category in CYCLES else (255, 190, 90)
        cv2.polylines(picture, [outline.round().astype(np.int32)], True, colour, 1)
    ego = np.stack(pixel(np.array([3.7, -0.9, -0.9]), np.array([0.0, 0.9, -0.9])), 1)
    cv2.fillPoly(picture, [ego.round().astype(np.int32)], (255, 255, 255))
    return picture


def range_image(points: np.ndarray, mount: LidarMount, width: int, height: int) -> np.ndarray:
    """Points [n, 4] by ring and bearing, the left end behind, the middle ahead; near is bright; uint8 [height, width, 3]."""
    distance = np.linalg.norm(points[:, :3], axis=1)
    elevation = np.arcsin(points[:, 2] / np.maximum(distance, 1e-6))
    span = (mount.fov_up - elevation) / (mount.fov_up - mount.fov_down)
    ring = np.clip(np.round(span * (mount.rings - 1)), 0, mount.rings - 1).astype(int)
    column = ((math.pi - np.arctan2(points[:, 1], points[:, 0])) / (2 * math.pi) * mount.columns).astype(int) % mount.columns
    near = np.zeros((mount.rings, mount.columns), np.uint8)
    near[ring, column] = np.clip(255 * (1 - np.sqrt(distance / 75.0)), 1, 255)
    image = cv2.applyColorMap(cv2.resize(near, (width, height), interpolation=cv2.INTER_NEAREST), cv2.COLORMAP_MAGMA)
    return np.ascontiguousarray(image[:, :, ::-1])


def row(snapshot: Snapshot, mount: LidarMount, title: str) -> np.ndarray:
    """One moment: title, cameras, lidar from above, range image; uint8 RGB."""
    cameras = mosaic(snapshot.cameras)
    above = from_above(snapshot.lidar.points, snapshot.truth, cameras.shape[0])
    upper = np.hstack([cameras, above])
    lower = range_image(snapshot.lidar.points, mount, upper.shape[1], 48)
    band = np.full((22, upper.shape[1], 3), 235, np.uint8)
    cv2.putText(band, title, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    return np.vstack([band, upper, lower])


def overview(seed: int, seconds: float, size: tuple[int, int] = (360, 640)) -> np.ndarray:
    """The overview: the same moment of the same drive in every weather; uint8 RGB. Raises BadInput."""
    rig = load_rig("nuscenes")
    rows = []
    for name, weather in ROWS.items():
        drive = Drive(seed, rig, weather, size)
        drive.advance(seconds)
        levels = ", ".join(f"{key} {value:g}" for key in Weather.__slots__ if (value := getattr(weather, key)) or key == "light")
        rows.append(row(drive.capture(), rig.lidar, f"{name}: {levels}"))
    return np.vstack(rows)


def write(picture: np.ndarray, path: Path) -> None:
    """Write a PNG with a palette of 256 colours, which keeps the file small. Raises BadInput."""
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise BadInput(f"out is {str(path)!r}, not a .png file in a folder that exists")
    Image.fromarray(picture).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Draw the simulator in every weather.")
    parser.add_argument("--out", type=Path, default=Path("docs/simulator.png"), help="PNG to write")
    parser.add_argument("--seed", type=int, default=SEED, help="which drive")
    parser.add_argument("--seconds", type=float, default=0.0, help="moment of the drive")
    options = parser.parse_args(arguments)
    try:
        write(overview(options.seed, options.seconds), options.out)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
