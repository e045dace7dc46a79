# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which sensors a robot carries, where they look, and on which topics. One YAML file serves launch, simulator and training."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from .datatypes import BadInput
from .resources import shared_folder

_AXES = {sign + name: factor * np.eye(3)[i] for i, name in enumerate("xyz") for sign, factor in (("+", 1.0), ("-", -1.0))}
_RIGHT_HANDED = {
    axes for axes in itertools.permutations(_AXES, 3) if np.isclose(np.linalg.det([_AXES[a] for a in axes]), 1.0)
}


@dataclass(frozen=True, slots=True)
class CameraMount:
    """One camera. `bearing` [rad] is the yaw of its optical axis, `fov` [rad] its horizontal field of view, `position` [m]."""

    name: str
    topic: str
    bearing: float
    fov: float
    position: tuple[float, float, float] = (1.5, 0.0, 1.6)
    pitch: float = 0.0


@dataclass(frozen=True, slots=True)
class LidarMount:
    """A spinning lidar. `axes` are the sensor axes that point forward, left and up; `fov_up`, `fov_down` [rad]."""

    topic: str = "lidar/points"
    axes: tuple[str, str, str] = ("+x", "+y", "+z")
    position: tuple[float, float, float] = (0.0, 0.0, 1.8)
    rings: int = 32
    columns: int = 1024
    fov_up: float = math.radians(10.0)
    fov_down: float = math.radians(-30.0)


@dataclass(frozen=True, slots=True)
class ImuMount:
    """An IMU. `axes` as for the lidar; `gravity_removed` says that the driver already took gravity away."""

    topic: str = "imu/data"
    axes: tuple[str, str, str] = ("+x", "+y", "+z")
    gravity_removed: bool = False


@dataclass(frozen=True, slots=True)
class Rig:
    """All the sensors of one robot. A sensor that is not there is None, or missing from `cameras`."""

    name: str
    cameras: tuple[CameraMount, ...]
    lidar: LidarMount | None = LidarMount()
    imu: ImuMount | None = ImuMount()

    def camera(self, name: str) -> CameraMount:
        """The mount called `name`. Raises BadInput."""
        for mount in self.cameras:
            if mount.name == name:
                return mount
        raise BadInput(f"rig {self.name} has no camera {name!r}, only {[mount.name for mount in self.cameras]}")


def rotation(axes: tuple[str, str, str]) -> np.ndarray:
    """Matrix [3, 3] that turns sensor coordinates into forward, left, up. Raises BadInput unless right-handed."""
    if tuple(axes) not in _RIGHT_HANDED:
        raise BadInput(f"axes {list(axes)} are not three right-handed signed axes such as ['+y', '-x', '+z']")
    return np.array([_AXES[axis] for axis in axes], dtype=np.float32)


def load_rig(name_or_file: str | Path) -> Rig:
    """Read a shipped rig by name (`front`, `nuscenes`) or a YAML file. Angles in the file are degrees. Raises BadInput."""
    rigs = shared_folder() / "config" / "rigs"
    path = Path(name_or_file)
    if path.suffix not in (".yaml", ".yml"):
        path = rigs / f"{name_or_file}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in rigs.glob("*.yaml"))
        raise BadInput(f"rig {str(name_or_file)!r} is neither one of {known} nor a YAML file")
    try:
        content = yaml.safe_load(path.read_text())
        return _parse(content, path.stem)
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"rig file {path}: {reason}") from error


def _parse(content: dict, name: str) -> Rig:
    cameras = tuple(
        CameraMount(
            name=str(camera),
            topic=str(mount.get("topic", f"camera/{camera}/image_raw")),
            bearing=math.radians(float(mount.get("bearing", 0.0))),
            fov=math.radians(_within(float(mount.get("fov", 70.0)), 10.0, 170.0, f"cameras.{camera}.fov")),
            position=_vector(mount.get("position", CameraMount.__dataclass_fields__["position"].default)),
            pitch=math.radians(float(mount.get("pitch", 0.0))),
        )
        for camera, mount in (content.get("cameras") or {}).items()
    )
    return Rig(name, cameras, _lidar(content.get("lidar")), _imu(content.get("imu")))


def _lidar(mount: dict | None) -> LidarMount | None:
    if mount is None:
        return None
    known = {key: mount[key] for key in ("topic", "rings", "columns") if key in mount}
    angles = {key: math.radians(float(mount[key])) for key in ("fov_up", "fov_down") if key in mount}
    if "position" in mount:
        known["position"] = _vector(mount["position"])
    return LidarMount(axes=_axes(mount), **known, **angles)


def _imu(mount: dict | None) -> ImuMount | None:
    if mount is None:
        return None
    known = {key: mount[key] for key in ("topic", "gravity_removed") if key in mount}
    return ImuMount(axes=_axes(mount), **known)


def _axes(mount: dict) -> tuple[str, str, str]:
    axes = tuple(mount.get("axes", ("+x", "+y", "+z")))
    rotation(axes)
    return axes


def _vector(numbers) -> tuple[float, float, float]:
    x, y, z = (float(number) for number in numbers)
    return (x, y, z)


def _within(value: float, low: float, high: float, name: str) -> float:
    if not low <= value <= high:
        raise BadInput(f"{name} is {value}, not between {low} and {high}")
    return value
