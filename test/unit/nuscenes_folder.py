# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a simulated drive as a nuScenes folder: thirteen tables, samples/, can_bus/. Nothing in it is of nuScenes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from mmllm_ros.datatypes import ImuWindow, LidarScan

FIELDS = {
    "lidar": "LIDAR_TOP", "front": "CAM_FRONT", "front_left": "CAM_FRONT_LEFT", "front_right": "CAM_FRONT_RIGHT",
    "back": "CAM_BACK", "back_left": "CAM_BACK_LEFT", "back_right": "CAM_BACK_RIGHT",
}  # fmt: skip


def write_folder(root: Path, keyframes: list[list], description: str = "Night, parked cars") -> list[str]:
    """`keyframes` holds the frames of each keyframe, 0.5 s apart; returns the sample tokens."""
    empty = ("category", "attribute", "visibility", "instance", "ego_pose", "log", "sample_annotation", "map", "sample_data")
    tables: dict[str, list[dict]] = {name: [] for name in empty}
    tables["sensor"] = [{"token": f"s-{name}", "channel": channel, "modality": ""} for name, channel in FIELDS.items()]
    tables["calibrated_sensor"] = [{"token": f"c-{name}", "sensor_token": f"s-{name}"} for name in FIELDS]
    tokens = [f"sample-{index}" for index in range(len(keyframes))]
    tables["scene"] = [{"token": "scene-token", "name": "scene-0001", "description": description}]
    tables["sample"] = []
    messages = []
    for index, frames in enumerate(keyframes):
        before = tokens[index - 1] if index else ""
        stamp = next(frame.stamp for frame in frames) // 1000
        tables["sample"].append({"token": tokens[index], "scene_token": "scene-token", "timestamp": stamp, "prev": before})
        for frame in frames:
            if isinstance(frame, ImuWindow):
                messages += [
                    {"utime": int(time) // 1000, "linear_accel": sample[:3].tolist(), "rotation_rate": sample[3:].tolist()}
                    for time, sample in zip(frame.times, frame.samples, strict=True)
                ]
                continue
            name = _write_sensor(root, tokens[index], frame)
            for key, suffix in ((True, ""), (False, "-sweep")):
                tables["sample_data"].append(
                    {"token": name + suffix, "sample_token": tokens[index], "is_key_frame": key, "filename": name,
                     "timestamp": frame.stamp // 1000, "calibrated_sensor_token": f"c-{frame.source}"}
                )  # fmt: skip
    _write(root / "can_bus" / "scene-0001_ms_imu.json", messages)
    for name, records in tables.items():
        _write(root / "v1.0-mini" / f"{name}.json", records)
    return tokens


def _write_sensor(root: Path, token: str, frame) -> str:
    channel = FIELDS[frame.source]
    lidar = isinstance(frame, LidarScan)
    name = f"samples/{channel}/{token}" + (".pcd.bin" if lidar else ".png")
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if lidar:
        x, y, z, intensity = frame.points.T
        # nuScenes: x right, y forward, intensity to 255, ring last.
        np.stack([-y, x, z, intensity * 255, np.zeros_like(x)], axis=1).astype("<f4").tofile(path)
    else:
        cv2.imwrite(str(path), frame.image[:, :, ::-1])
    return name


def _write(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
