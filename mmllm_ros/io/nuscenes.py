# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reads nuScenes folders as frames, without its devkit: keyframes of the six cameras, the lidar and, where present, the CAN bus
IMU.

The layout is that of nuScenes v1.0: `v1.0-*/` with thirteen JSON tables, `samples/`, and optionally `can_bus/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..datatypes import GRAVITY, NANOSECONDS, BadInput, CameraFrame, Frame, ImuWindow, LidarScan, Question
from ..rig import ImuMount, rotation
from .decoding import decode_compressed, gather_points
from .question_files import read_json

TABLES = (
    "category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor", "ego_pose",
    "log", "scene", "sample", "sample_data", "sample_annotation", "map",
)  # fmt: skip
CAMERAS = ("CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
LIDAR = "LIDAR_TOP"

_LIDAR_TO_BASE = rotation(("+y", "-x", "+z"))
_MAX_TABLE_BYTES = 1 << 32
_MAX_FILE_BYTES = 1 << 28
_MICROSECOND = 1000
_IMU_WINDOW = NANOSECONDS


@dataclass(frozen=True, slots=True)
class Keyframe:
    """One keyframe. `frames` are its sensors, `previous` those of the keyframe half a second before (empty at a scene's start).

    Camera sources are named as in the shipped `nuscenes` rig: `front`, `front_left`, ... `context` is day, night or rain.
    """

    token: str
    scene: str
    context: str
    frames: tuple[Frame, ...]
    previous: tuple[Frame, ...]


class NuScenes:
    """A nuScenes folder. `imu` gives the axes of the CAN bus IMU. Raises BadInput for any other folder.

    for keyframe, asked in NuScenes("/data/nuscenes-mini").join(read_questions("NuScenes_val_questions.json")):
        ...
    """

    def __init__(self, folder: str | Path, imu: ImuMount = ImuMount()):  # noqa: B008 (frozen)
        self.folder, self._imu = Path(os.path.normpath(folder)), imu
        versions = sorted(path for path in self.folder.glob("v1.0-*") if path.is_dir())
        if len(versions) != 1:
            found = ", ".join(path.name for path in versions) or "no folder v1.0-*"
            raise BadInput(f"{self.folder} is not one nuScenes version: it has {found}")
        self._tables = versions[0]
        for name in TABLES:
            if not (self._tables / f"{name}.json").is_file():
                raise BadInput(f"{self._tables} has no table {name}.json")
        self._samples = self._by_token("sample", ("scene_token", "timestamp", "prev"))
        self._scenes = self._by_token("scene", ("name", "description"))
        self._files = self._keyframes()
        self._bus: tuple[str, tuple[np.ndarray, np.ndarray] | None] = ("", None)

    def tokens(self) -> list[str]:
        """Every sample token, scene by scene, in time order."""
        return sorted(self._samples, key=lambda token: (self._scene(token)["name"], self._samples[token]["timestamp"]))

    def join(self, questions: Sequence[Question]) -> Iterator[tuple[Keyframe, list[Question]]]:
        """Each keyframe that has questions, with its questions, in time order. Raises BadInput when none is of this folder.

        Questions about other keyframes are skipped: NuScenes-QA's files cover more than a partial download.
        """
        by_token: dict[str, list[Question]] = {}
        for question in questions:
            by_token.setdefault(question.sample_token, []).append(question)
        tokens = [token for token in self.tokens() if token in by_token]
        if not tokens:
            raise BadInput(f"none of {len(questions)} questions is about a sample of {self.folder}")
        return ((self.keyframe(token), by_token[token]) for token in tokens)

    def keyframe(self, token: str) -> Keyframe:
        """Read one keyframe and the one before it. Raises BadInput for an unknown token, a missing or a damaged file."""
        if token not in self._samples:
            raise BadInput(f"{self.folder} has no sample {token!r}")
        scene, before = self._scene(token), self._samples[token]["prev"]
        described = str(scene["description"]).lower()
        context = "night" if "night" in described else "rain" if "rain" in described else "day"
        return Keyframe(token, scene["name"], context, self._frames(token), self._frames(before) if before else ())

    def _frames(self, token: str) -> tuple[Frame, ...]:
        files = self._files.get(token, {})
        frames: list[Frame] = []
        for channel in CAMERAS:
            if channel in files:
                stamp, path = files[channel]
                image = decode_compressed(_content(path))
                frames.append(CameraFrame(stamp, channel.removeprefix("CAM_").lower(), image))
        if LIDAR in files:
            stamp, path = files[LIDAR]
            frames.append(LidarScan(stamp, "lidar", read_sweep(path)))
        window = self._window(token)
        return (*frames, window) if window else tuple(frames)

    def _window(self, token: str) -> ImuWindow | None:
        name, stamp = self._scene(token)["name"], self._samples[token]["timestamp"] * _MICROSECOND
        if self._bus[0] != name:
            self._bus = (name, self._read_bus(name))
        if self._bus[1] is None:
            return None
        times, samples = self._bus[1]
        inside = (times > stamp - _IMU_WINDOW) & (times <= stamp)
        return ImuWindow(int(times[inside][-1]), "imu", times[inside], samples[inside]) if inside.any() else None

    def _read_bus(self, scene: str) -> tuple[np.ndarray, np.ndarray] | None:
        path = self.folder / "can_bus" / f"{scene}_ms_imu.json"
        if not path.is_file():
            return None
        messages = _records(path, read_json(path, _MAX_FILE_BYTES), ("utime", "linear_accel", "rotation_rate"))
        try:
            times = np.array([message["utime"] for message in messages], dtype=np.int64) * _MICROSECOND
            force = np.array([message["linear_accel"] for message in messages], dtype=np.float32).reshape(len(messages), 3)
            rate = np.array([message["rotation_rate"] for message in messages], dtype=np.float32).reshape(len(messages), 3)
        except (TypeError, ValueError, OverflowError) as error:
            raise BadInput(f"{path}: a message does not hold a whole utime and two vectors of three numbers") from error
        force, rate = force @ rotation(self._imu.axes).T, rate @ rotation(self._imu.axes).T
        if self._imu.gravity_removed:
            force[:, 2] += GRAVITY
        order = np.argsort(times, kind="stable")
        return times[order], np.concatenate([force, rate], axis=1)[order]

    def _scene(self, token: str) -> dict:
        if token not in self._samples:
            raise BadInput(f"{self._tables / 'sample.json'}: a sample follows {token!r}, which it lacks")
        scene = self._samples[token]["scene_token"]
        if scene not in self._scenes:
            raise BadInput(f"{self._tables / 'sample.json'}: sample {token} is of scene {scene!r}, which scene.json lacks")
        return self._scenes[scene]

    def _keyframes(self) -> dict[str, dict[str, tuple[int, Path]]]:
        """Stamp and file of each channel of each sample, joined from the tables."""
        calibrated, sensors = self._by_token("calibrated_sensor", ("sensor_token",)), self._by_token("sensor", ("channel",))
        fields = ("sample_token", "is_key_frame", "calibrated_sensor_token", "filename", "timestamp")
        files: dict[str, dict[str, tuple[int, Path]]] = {}
        table = self._tables / "sample_data.json"
        for record in self._table("sample_data", fields):
            if not record["is_key_frame"]:
                continue
            try:
                channel = sensors[calibrated[record["calibrated_sensor_token"]]["sensor_token"]]["channel"]
            except KeyError as error:
                raise BadInput(f"{table}: a record names token {error}, which no table holds") from error
            path = Path(os.path.normpath(self.folder / record["filename"]))
            if not path.is_relative_to(self.folder) or "\0" in record["filename"]:
                raise BadInput(f"{table}: file {record['filename']!r} lies outside the folder")
            files.setdefault(record["sample_token"], {})[channel] = (record["timestamp"] * _MICROSECOND, path)
        return files

    def _by_token(self, name: str, fields: tuple[str, ...]) -> dict[str, dict]:
        return {record["token"]: record for record in self._table(name, ("token", *fields))}

    def _table(self, name: str, fields: tuple[str, ...]) -> list[dict]:
        path = self._tables / f"{name}.json"
        return _records(path, read_json(path, _MAX_TABLE_BYTES), fields)


def read_sweep(path: Path) -> np.ndarray:
    """A `.pcd.bin` file, float32 [n, 5] with x right and y forward -> float32 [n, 4], REP-103 axes, intensity in [0, 1]."""
    content = _content(path)
    if len(content) % 20:
        raise BadInput(f"{path} has {len(content)} bytes, not a multiple of 20 (five float32 a point)")
    points = np.frombuffer(content, "<f4").reshape(-1, 5)
    base = points[:, :3] @ _LIDAR_TO_BASE.T
    # Intensity is 0 to 255 in these files, also where no point of a sweep exceeds 1.
    with np.errstate(all="ignore"):
        intensity = points[:, 3] / np.float32(255.0)
    return gather_points([base[:, axis] for axis in range(3)], np.clip(intensity, 0.0, 1.0))


_TYPES = {"timestamp": int, "utime": int, "is_key_frame": bool, "linear_accel": list, "rotation_rate": list}


def _records(path: Path, content: object, fields: tuple[str, ...]) -> list[dict]:
    if not isinstance(content, list):
        raise BadInput(f"{path} is {type(content).__name__}, not a list of records")
    for index, record in enumerate(content):
        for field in fields:
            if not isinstance(record, dict) or field not in record:
                raise BadInput(f"{path}: record {index} has no field {field!r}")
            wanted = _TYPES.get(field, str)
            if not isinstance(record[field], wanted):
                found = type(record[field]).__name__
                raise BadInput(f"{path}: record {index}: field {field!r} is {found}, not {wanted.__name__}")
    return content


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise BadInput(f"{path} has more than {_MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
