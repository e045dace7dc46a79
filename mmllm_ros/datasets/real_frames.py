# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled frames of real sensors: FOLDER/SOURCE/FRAME.json with camera images, a lidar sweep and boxes.

The form: `cameras` maps a name to `file`, `width`, `height`, `fov_deg`, `bearing_deg` (counter-clockwise from forward),
`pitch_deg` (positive = up), `position` [m], `K` and `T_cam_from_vehicle`; `lidar` has `file`, an npz whose `points` are float32
[n, 4] (x forward, y left, z up, origin on the ground; intensity in 0..1 or 0..255) and may have the `position` of the sensor;
`boxes` have `class`, `center`, `size` (length, width, height), `yaw`, `num_points` and `status`; `label_region` says where labels
are complete; `prev_lidar` and `T_cur_from_prev` belong to an earlier sweep where there is one. Paths are relative to FOLDER.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..angles import wrapped
from ..datatypes import NANOSECONDS, BadInput, CameraFrame, Frame, LidarScan, one_line
from ..io.pinhole import Pinhole
from ..io.question_files import read_json
from ..rig import CameraMount, LidarMount, Rig
from ..simulator.truth import CATEGORIES, STATUSES, EgoMotion, SceneObject, SceneTruth, Weather

SIMULATED_FOCAL = 160 / (2 * math.tan(math.radians(35.0)))
"""The simulator counts pixels of an image of 160 columns and 70 degrees; projected sizes are scaled to that."""
SWEEP_GAP = NANOSECONDS // 2
"""An earlier sweep without a stamp is taken to be this much older [ns]."""
OTHER_WORDS = ("other", "misc", "tram", "device", "container", "animal")
"""An ignored box with such a word in its original class is of none of the ten classes."""
_MAX_FILE_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Region:
    """The sector in which labels are complete: `middle` and `half` [rad], seen from `apex` (x, y) [m]."""

    middle: float = 0.0
    half: float = math.pi
    apex: tuple[float, float] = (0.0, 0.0)

    def holds(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether points [n] lie in the region, bool [n]."""
        bearing = np.arctan2(np.asarray(y) - self.apex[1], np.asarray(x) - self.apex[0])
        return np.abs(wrapped(bearing - self.middle)) <= self.half

    def holds_sector(self, middle: float, half: float) -> bool:
        """Whether all directions within `half` of `middle` [rad] from the vehicle are labelled."""
        return self.half >= math.pi or abs(math.remainder(middle - self.middle, math.tau)) + half <= self.half


@dataclass(frozen=True, slots=True)
class RealFrame:
    """One labelled moment of one vehicle.

    `frames` are its sensors and `previous` the earlier sweep, both cropped to `region`; `rig` says how they are mounted and
    `cameras` holds the calibration of each camera. `truth` holds the labelled objects in `region`: `returns` are the labels'
    point counts, `pixels` the projected size. `unknown` are labelled objects that could be of any class, `others` those that are
    of none of the ten. `motion` [4, 4] turns coordinates of the earlier sweep into those of the newer one.
    """

    source: str
    name: str
    rig: Rig
    cameras: Mapping[str, Pinhole]
    frames: tuple[Frame, ...]
    previous: tuple[Frame, ...]
    truth: SceneTruth
    unknown: tuple[SceneObject, ...]
    others: tuple[SceneObject, ...]
    region: Region
    motion: np.ndarray | None = field(default=None)


def frame_files(folder: str | Path) -> list[Path]:
    """The frames in `folder`, sorted. Raises BadInput where there is none."""
    files = sorted(Path(folder).glob("*/*.json"))
    if not files:
        raise BadInput(f"{folder} holds no SOURCE/FRAME.json")
    return files


def read_frames(folder: str | Path) -> Iterator[RealFrame]:
    """All frames of `folder`. Raises BadInput."""
    return (read_frame(folder, path) for path in frame_files(folder))


def read_frame(folder: str | Path, path: Path) -> RealFrame:
    """Read one frame of `folder`. Raises BadInput naming the file and what is wrong with it."""
    content = read_json(path)
    try:
        return _Reader(Path(folder), path, content).frame()
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path} is not a labelled frame: {type(error).__name__} {' '.join(str(error).split())[:200]}") from error


class _Reader:
    def __init__(self, folder: Path, path: Path, content: dict) -> None:
        self.folder, self.path, self.content = folder, path, content
        self.source, self.name = path.parent.name, path.stem
        self.stamp = int(content.get("stamp_ns") or NANOSECONDS)
        self.has_lidar = bool(content.get("lidar"))

    def frame(self) -> RealFrame:
        content = self.content
        cameras = {name: self._pinhole(item) for name, item in content["cameras"].items()}
        region = self._region(cameras)
        sweeps = [self._sweep(content["lidar"]["file"], region, self.stamp)] if self.has_lidar else []
        before = []
        if content.get("prev_lidar"):
            entry = content["prev_lidar"]
            file = entry["file"] if isinstance(entry, dict) else entry
            stamp = (entry.get("stamp_ns") if isinstance(entry, dict) else None) or self.stamp - SWEEP_GAP
            before = [self._sweep(file, region, int(stamp))]
        motion = content.get("T_cur_from_prev")
        images = [self._image(name, item) for name, item in content["cameras"].items()]
        boxes = [self._object(index, box, cameras) for index, box in enumerate(content["boxes"])]
        ignored = [self._object(index, box, cameras) for index, box in enumerate(content.get("ignored_boxes", []))]
        kept = tuple(box for box in boxes if bool(region.holds(box.position[0], box.position[1])))
        kinds = [_other_kind(box) for box in content.get("ignored_boxes", [])]
        token = f"{self.source}/{self.name}"
        truth = SceneTruth(self.stamp, token, token, Weather(), EgoMotion(0.0, 0.0, 0.0), kept, None)
        return RealFrame(
            self.source,
            self.name,
            self._rig(sweeps, cameras),
            cameras,
            (*images, *sweeps),
            tuple(before),
            truth,
            tuple(box for box, kind in zip(ignored, kinds, strict=True) if kind == "unknown"),
            tuple(box for box, kind in zip(ignored, kinds, strict=True) if kind == "other"),
            region,
            np.array(motion, dtype=float) if motion else None,
        )

    def _rig(self, sweeps: Sequence[LidarScan], cameras: Mapping[str, Pinhole]) -> Rig:
        mounts = [_mount(name, item, cameras[name]) for name, item in self.content["cameras"].items()]
        lidar = None
        if sweeps:
            up, down = _field_of_view(sweeps[0].points)
            rings = int(self.content["lidar"].get("rings", LidarMount().rings))
            lidar = LidarMount(position=self._lidar_position(), rings=rings, fov_up=up, fov_down=down)
        return Rig(self.source, tuple(mounts), lidar, None)

    def _lidar_position(self) -> tuple[float, float, float]:
        return tuple(float(metres) for metres in self.content["lidar"].get("position", LidarMount().position))

    def _region(self, cameras: Mapping[str, Pinhole]) -> Region:
        region = self.content["label_region"]
        kind = region["type"]
        if kind == "full_circle":
            return Region()
        if "fov_deg" not in region:
            raise BadInput(f"{self.path}: label_region {kind!r} is neither full_circle nor has fov_deg")
        camera = self.content["cameras"].get(region.get("camera"), {})
        bearing = math.radians(region.get("bearing_deg", camera.get("bearing_deg", 0.0)))
        apex = tuple(camera.get("position", (0.0, 0.0)))[:2]
        return Region(bearing, math.radians(region["fov_deg"]) / 2, apex)

    def _pinhole(self, item: dict) -> Pinhole:
        matrix, turn = np.array(item["K"], dtype=float), np.array(item["T_cam_from_vehicle"], dtype=float)
        if matrix.shape != (3, 3) or turn.shape != (4, 4):
            raise BadInput(f"{self.path}: K is not [3, 3] or T_cam_from_vehicle not [4, 4]")
        return Pinhole(matrix, turn, (int(item["width"]), int(item["height"])))

    def _image(self, name: str, item: dict) -> CameraFrame:
        path = self._file(item["file"])
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise BadInput(f"{path} is not an image")
        return CameraFrame(int(item.get("stamp_ns") or self.stamp), name, np.ascontiguousarray(image[..., ::-1]))

    def _sweep(self, file: str, region: Region, stamp: int) -> LidarScan:
        path = self._file(file)
        try:
            with np.load(path, allow_pickle=False) as archive:
                points = np.asarray(archive["points"], dtype=np.float32)
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{path} is no npz with `points`: {one_line(error)}") from error
        if points.ndim != 2 or points.shape[1] < 4:
            raise BadInput(f"{path}: points are {list(points.shape)}, not [n, 4]")
        points = points[np.isfinite(points).all(1) & region.holds(points[:, 0], points[:, 1]), :4].copy()
        if points[:, 3].max(initial=0.0) > 1.0:
            points[:, 3] /= 255.0
        points[:, :3] -= np.array(self._lidar_position(), dtype=np.float32)
        return LidarScan(stamp, "lidar", points)

    def _file(self, name: str) -> Path:
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise BadInput(f"{self.path}: file {name!r} lies outside the folder")
        if not path.is_file() or path.stat().st_size > _MAX_FILE_BYTES:
            raise BadInput(f"{path} is missing or has more than {_MAX_FILE_BYTES} bytes")
        return path

    def _object(self, index: int, box: dict, cameras: Mapping[str, Pinhole]) -> SceneObject:
        category = str(box["class"] or "").replace("_", " ")
        if category and category not in CATEGORIES:
            raise BadInput(f"{self.path}: box {index} has class {box['class']!r}, not one of the ten nuScenes classes")
        status = str(box.get("status") or "").replace("_", " ")
        if status and status not in STATUSES:
            raise BadInput(f"{self.path}: box {index} has status {box['status']!r}, not one of {list(STATUSES)}")
        position, size = (tuple(float(metres) for metres in box[key]) for key in ("center", "size"))
        returns = int(box["num_points"] or 0) if self.has_lidar else 0
        pixels = {name: projected_size(position, size, float(box["yaw"]), camera) for name, camera in cameras.items()}
        if self.has_lidar and not returns:
            # What no beam reaches is hidden from a camera beside the lidar, too.
            pixels = dict.fromkeys(cameras, 0)
        return SceneObject(
            index, category, status, position, float(box["yaw"]), size, (0.0, 0.0), "", pixels, pixels, returns, returns
        )


def _other_kind(box: dict) -> str:
    """Of an ignored box: "sign" is no road user or obstacle, "other" is none of the ten classes, "unknown" may be any of them."""
    name = str(box.get("orig_class", "")).lower()
    if "sign" in name:
        return "sign"
    return "other" if any(word in name for word in OTHER_WORDS) else "unknown"


def _mount(name: str, item: dict, camera: Pinhole) -> CameraMount:
    bearing, fov, pitch = (math.radians(float(item[key])) for key in ("bearing_deg", "fov_deg", "pitch_deg"))
    position = tuple(float(metres) for metres in item.get("position", camera.position))
    return CameraMount(name, f"camera/{name}/image_raw", bearing, fov, position, -pitch)


def _field_of_view(points: np.ndarray) -> tuple[float, float]:
    """Elevations [rad] between which a sweep's beams lie, at least ten degrees apart."""
    if not len(points):
        return LidarMount().fov_up, LidarMount().fov_down
    far = points[np.hypot(points[:, 0], points[:, 1]) > 2.0]
    elevation = np.arctan2(far[:, 2], np.hypot(far[:, 0], far[:, 1])) if len(far) else np.zeros(1)
    low, high = (float(angle) for angle in np.quantile(elevation, (0.002, 0.998)))
    return max(high, low + math.radians(10.0)), low


def box_corners(position: Sequence[float], size: Sequence[float], yaw: float) -> np.ndarray:
    """The eight corners [8, 3] of a box in the base frame."""
    signs = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * size
    c, s = math.cos(yaw), math.sin(yaw)
    return signs @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) + position


def box_in_image(position: Sequence[float], size: Sequence[float], yaw: float, camera: Pinhole) -> tuple[float, ...] | None:
    """Left, top, right, bottom [pixels] of a box as far as the image shows it; None where it does not."""
    pixels, depths = camera.project(box_corners(position, size, yaw))
    if (depths < 0.3).sum() > 4:
        return None
    pixels = pixels[depths >= 0.3]
    width, height = camera.size
    left, top = pixels.min(0).clip(0, (width, height))
    right, bottom = pixels.max(0).clip(0, (width, height))
    return (left, top, right, bottom) if right - left >= 1 and bottom - top >= 1 else None


def projected_size(position: Sequence[float], size: Sequence[float], yaw: float, camera: Pinhole) -> int:
    """The area [pixels of the simulator's camera] of a box [m], [rad] in the image; hidden parts are not taken off."""
    box = box_in_image(position, size, yaw, camera)
    if box is None:
        return 0
    return round((box[2] - box[0]) * (box[3] - box[1]) * (SIMULATED_FOCAL / float(camera.matrix[0, 0])) ** 2)
