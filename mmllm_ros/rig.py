# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rig: sensors of a robot, their mounts and topics, read from a YAML file that launch, simulator and training share."""

from __future__ import annotations

import itertools
import math
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import yaml

from .config import load_yaml
from .datatypes import BadInput, one_line
from .resources import shared_folder

AUTO = "auto"
"""The rig of the running robot: its name, and the setting of a YAML file whose values override it."""
_LARGEST_FILE = 1_000_000
_SHOWN = reprlib.Repr()  # values in messages: the outermost level only, so that a message stays short
_SHOWN.maxlevel = 1
_AXES = {sign + name: factor * np.eye(3)[i] for i, name in enumerate("xyz") for sign, factor in (("+", 1.0), ("-", -1.0))}
_RIGHT_HANDED = {axes for axes in itertools.permutations(_AXES, 3) if np.isclose(np.linalg.det([_AXES[a] for a in axes]), 1.0)}


LENSES = ("plumb_bob", "rational_polynomial", "equidistant")
"""Distortion models of sensor_msgs/CameraInfo; `equidistant` is that of a fisheye lens."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What CameraInfo says of a camera.

    `size` is width and height of the image, `focal` the focal lengths and `centre` the principal point, along x and y, all in
    pixels. `lens` is one of LENSES with its coefficients `distortion`, empty where straight lines are straight in the image.
    """

    size: tuple[int, int]
    focal: tuple[float, float]
    centre: tuple[float, float]
    lens: str = LENSES[0]
    distortion: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class CameraMount:
    """One camera: `bearing` [rad] is the yaw of its axis, `fov` [rad] horizontal, `position` [m], `pitch` [rad] positive down.

    `calibration` is None where only the field of view is known.
    """

    modality: ClassVar[str] = "camera"

    name: str
    topic: str
    bearing: float
    fov: float
    position: tuple[float, float, float] = (1.5, 0.0, 1.6)
    pitch: float = 0.0
    calibration: Calibration | None = None

    def focal_length(self, width: int) -> float:
        """Focal length [px] of the pinhole, for an image of `width` pixels."""
        return width / 2 / math.tan(self.fov / 2)


CLUSTERS = "clusters"
"""The lidar encoder for real sweeps (encoders/lidar_clusters.py)."""


@dataclass(frozen=True, slots=True)
class LidarMount:
    """A spinning lidar. `axes` are the sensor axes that point forward, left and up; `fov_up`, `fov_down` [rad].

    `encoder` is CLUSTERS, or empty for the model's own encoder, which was trained on simulated sweeps.
    """

    modality: ClassVar[str] = "lidar"

    topic: str = "lidar/points"
    axes: tuple[str, str, str] = ("+x", "+y", "+z")
    position: tuple[float, float, float] = (0.0, 0.0, 1.8)
    rings: int = 32
    columns: int = 1024
    fov_up: float = math.radians(10.0)
    fov_down: float = math.radians(-30.0)
    encoder: str = ""


@dataclass(frozen=True, slots=True)
class ImuMount:
    """An IMU. `axes` as for the lidar; `gravity_removed` = the driver already subtracts gravity."""

    modality: ClassVar[str] = "imu"

    topic: str = "imu/data"
    axes: tuple[str, str, str] = ("+x", "+y", "+z")
    gravity_removed: bool = False


@dataclass(frozen=True, slots=True)
class ObjectsMount:
    """The objects that another perception stack reports.

    `frame` is the frame of their positions: its `axes` that point forward, left and up, turned by `bearing` [rad] to the left,
    with its origin at `position` [m] in base_link. `camera` names the camera of the rig to which boxes in an image belong.
    `classes` are pairs of a class name of the stack and ours.
    """

    modality: ClassVar[str] = "objects"

    topic: str = "objects"
    frame: str = "base_link"
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bearing: float = 0.0
    axes: tuple[str, str, str] = ("+x", "+y", "+z")
    camera: str = ""
    classes: tuple[tuple[str, str], ...] = ()


SIGNAL_KINDS = ("image", "video", "points", "depth", "normals", "audio", "imu", "array")
"""What the universal encoder reads (encoders/universal/signals.py)."""


@dataclass(frozen=True, slots=True)
class SignalMount:
    """A sensor of the universal encoder: `kind` is one of SIGNAL_KINDS, `modality` the name by which the model knows it.

    `bearing` [rad] is the middle of what it covers, `fov` [rad] how much, a full turn for all around; `axes` those of points and
    of an imu. `rate` [Hz], `channels` and `encoding` are those of audio (io/sound.py); an array has `channels` rows.
    """

    name: str
    kind: str
    modality: str
    topic: str
    bearing: float = 0.0
    fov: float = 2 * math.pi
    axes: tuple[str, str, str] = ("+x", "+y", "+z")
    rate: int = 16_000
    channels: int = 4
    encoding: str = "S16LE"


Mount = CameraMount | LidarMount | ImuMount | ObjectsMount


@dataclass(frozen=True, slots=True)
class Rig:
    """The sensors of one robot. An absent sensor is None, or missing from `cameras`.

    `detector` names the object detector that encodes the camera images, "nanodet" or an encoder folder; empty = the model's own
    camera encoder. `open_vocabulary` names the zero-shot object detector that answers questions about things beyond the ten
    classes, a folder or a hub name; empty = none.
    """

    name: str
    cameras: tuple[CameraMount, ...]
    lidar: LidarMount | None = LidarMount()
    imu: ImuMount | None = ImuMount()
    objects: ObjectsMount | None = None
    signals: tuple[SignalMount, ...] = ()
    detector: str = ""
    open_vocabulary: str = ""

    @property
    def mounts(self) -> list[Mount]:
        """The mounts of all sensors but the `signals` of the universal encoder."""
        return [*self.cameras, *(mount for mount in (self.lidar, self.imu, self.objects) if mount)]

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of its sensors, each once."""
        return tuple(dict.fromkeys(mount.modality for mount in (*self.mounts, *self.signals)))

    @property
    def names_encoders(self) -> bool:
        """Whether it names an encoder in place of one of the model's own (encoders/of_rig.py)."""
        return bool((self.detector and self.cameras) or (self.lidar and self.lidar.encoder))

    def camera(self, name: str) -> CameraMount:
        """The mount called `name`. Raises BadInput."""
        for mount in self.cameras:
            if mount.name == name:
                return mount
        raise BadInput(f"rig {self.name} has no camera {name!r}, only {[mount.name for mount in self.cameras]}")


def rotation(axes: tuple[str, str, str]) -> np.ndarray:
    """Matrix [3, 3] from sensor coordinates to forward, left, up. Raises BadInput unless right-handed."""
    if tuple(axes) not in _RIGHT_HANDED:
        raise BadInput(f"axes {list(axes)} are not three right-handed signed axes such as ['+y', '-x', '+z']")
    return np.array([_AXES[axis] for axis in axes], dtype=np.float32)


def right_handed_axes() -> list[tuple[str, str, str]]:
    """All 24 axes that `rotation` takes."""
    return sorted(_RIGHT_HANDED)


def shipped_rigs() -> list[str]:
    """The names of the shipped rigs."""
    return sorted(file.stem for file in _rigs().glob("*.yaml"))


def _rigs() -> Path:
    return shared_folder() / "config" / "rigs"


def load_rig(name_or_file: str | Path) -> Rig:
    """Read a shipped rig by name (`front`, `nuscenes`) or a YAML file. Angles in the file are degrees. Raises BadInput."""
    content, path = _read(name_or_file)
    if _is_auto(content):
        raise BadInput(
            f"rig {str(name_or_file)!r} is that of the running robot, which only nodes read: "
            "`mmllm rig --from-topics > my_robot.yaml` writes it to a file"
        )
    return parse_rig(content, path)


def rig_overrides(name_or_file: str | Path) -> dict | None:
    """What overrides the rig of the running robot: {} for the name `auto`, the rest of a YAML file with `auto: true`.

    None for the name or file of an ordinary rig. Raises BadInput.
    """
    content, _ = _read(name_or_file)
    return {key: value for key, value in content.items() if key != AUTO} if _is_auto(content) else None


def _is_auto(content: object) -> bool:
    if not isinstance(content, dict) or AUTO not in content:
        return False
    if not isinstance(content[AUTO], bool):
        raise BadInput(f"auto is {_SHOWN.repr(content[AUTO])}, not true or false")
    return content[AUTO]


def _read(name_or_file: str | Path) -> tuple[object, Path]:
    """The content of a rig file, and its path. Raises BadInput."""
    if str(name_or_file) == AUTO:
        return {AUTO: True}, Path(AUTO)
    path = Path(name_or_file)
    if path.suffix not in (".yaml", ".yml"):
        path = _rigs() / f"{name_or_file}.yaml"
    try:
        text = path.read_text() if path.is_file() and path.stat().st_size <= _LARGEST_FILE else None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"rig {str(name_or_file)!r}: {one_line(error)}") from error
    if text is None:
        known = [*shipped_rigs(), AUTO]
        raise BadInput(f"rig {_SHOWN.repr(str(name_or_file))} is neither one of {known} nor a YAML file of at most 1 MB")
    try:
        return load_yaml(text), path
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(f"rig file {path}: {one_line(error)}") from error


def parse_rig(content: object, path: Path) -> Rig:
    """The rig of a file's content; it is called as the file `path` is. Raises BadInput, which names the file."""
    try:
        return _parse(content, path.stem)
    except (RecursionError, ValueError) as error:
        raise BadInput(f"rig file {path}: {one_line(error)}") from error


def _parse(content: object, name: str) -> Rig:
    parts = _settings(content, ("cameras", "lidar", "imu", "objects", "signals", "detector", "open_vocabulary", AUTO), "a rig")
    for sensor in parts:
        if parts[sensor] is None:
            raise BadInput(f"{sensor} is blank: give its settings ({{}} = all defaults), or leave the line out if there is none")
    cameras = parts.get("cameras", {})
    if not isinstance(cameras, dict):
        raise BadInput(f"cameras is {_SHOWN.repr(cameras)}, not a mapping of names to mounts")
    mounts = tuple(_camera(camera, mount) for camera, mount in cameras.items())
    detector = parts.get("detector", "")
    if not isinstance(detector, str) or len(detector) > 1000:
        raise BadInput(f"detector is {_SHOWN.repr(detector)}, not nanodet or the folder of an encoder of kind detector")
    open_vocabulary = parts.get("open_vocabulary", "")
    if not isinstance(open_vocabulary, str) or len(open_vocabulary) > 1000:
        raise BadInput(
            f"open_vocabulary is {_SHOWN.repr(open_vocabulary)}, not the folder or hub name of a zero-shot object detector"
        )
    taken = {"camera", *(kind for kind in ("lidar", "imu", "objects") if kind in parts)}
    return Rig(
        name,
        mounts,
        _lidar(parts["lidar"]) if "lidar" in parts else None,
        _imu(parts["imu"]) if "imu" in parts else None,
        _objects(parts["objects"], [mount.name for mount in mounts]) if "objects" in parts else None,
        _signals(parts.get("signals", {}), taken),
        detector,
        open_vocabulary,
    )


def _camera(name: object, content: object) -> CameraMount:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
        raise BadInput(f"camera name {_SHOWN.repr(name)} is not a ROS name: a letter, then letters, digits and _")
    where = f"cameras.{name}"
    mount = _settings(content, ("topic", "bearing", "fov", "position", "pitch", "calibration"), where)
    return CameraMount(
        name=name,
        topic=_topic(mount, f"camera/{name}/image_raw", where),
        bearing=math.radians(_number(mount, "bearing", 0.0, -360.0, 360.0, where)),
        fov=math.radians(_number(mount, "fov", 70.0, 10.0, 170.0, where)),
        position=_position(mount, CameraMount, where),
        pitch=math.radians(_number(mount, "pitch", 0.0, -90.0, 90.0, where)),
        calibration=_calibration(mount["calibration"], f"{where}.calibration") if "calibration" in mount else None,
    )


def _calibration(content: object, where: str) -> Calibration:
    known = _settings(content, ("size", "focal", "centre", "lens", "distortion"), where)
    width, height = _numbers(known, "size", (2,), 1, 100_000, where)
    lens = known.get("lens", LENSES[0])
    if lens not in LENSES:
        raise BadInput(f"{where}.lens is {_SHOWN.repr(lens)}, not one of {list(LENSES)}")
    return Calibration(
        (int(width), int(height)),
        _numbers(known, "focal", (2,), 1.0, 1e6, where),
        _numbers(known, "centre", (2,), -1e6, 1e6, where),
        lens,
        _numbers(known, "distortion", (0, 4, 5, 8, 12, 14), -1e6, 1e6, where) if "distortion" in known else (),
    )


def _numbers(mount: dict, key: str, counts: tuple[int, ...], low: float, high: float, where: str) -> tuple[float, ...]:
    listed = mount.get(key)
    if not isinstance(listed, list) or len(listed) not in counts:
        raise BadInput(f"{where}.{key} is {_SHOWN.repr(listed)}, not a list of {' or '.join(map(str, counts))} numbers")
    return tuple(_number({key: value}, key, 0.0, low, high, where) for value in listed)


def _lidar(content: object) -> LidarMount:
    mount = _settings(content, ("topic", "axes", "position", "rings", "columns", "fov_up", "fov_down", "encoder"), "lidar")
    up = _number(mount, "fov_up", 10.0, -90.0, 90.0, "lidar")
    down = _number(mount, "fov_down", -30.0, -90.0, 90.0, "lidar")
    if not down < up:
        raise BadInput(f"lidar.fov_down is {down}, not below lidar.fov_up, {up}")
    encoder = mount.get("encoder", "")
    if encoder not in ("", CLUSTERS):
        raise BadInput(f"lidar.encoder is {_SHOWN.repr(encoder)}, not {CLUSTERS}, or left out for the model's own encoder")
    return LidarMount(
        topic=_topic(mount, LidarMount().topic, "lidar"),
        axes=_axes(mount),
        position=_position(mount, LidarMount, "lidar"),
        rings=int(_number(mount, "rings", 32, 1, 1024, "lidar")),
        columns=int(_number(mount, "columns", 1024, 8, 16384, "lidar")),
        fov_up=math.radians(up),
        fov_down=math.radians(down),
        encoder=encoder,
    )


def _imu(content: object) -> ImuMount:
    mount = _settings(content, ("topic", "axes", "gravity_removed"), "imu")
    removed = mount.get("gravity_removed", False)
    if not isinstance(removed, bool):
        raise BadInput(f"imu.gravity_removed is {_SHOWN.repr(removed)}, not true or false")
    return ImuMount(_topic(mount, ImuMount().topic, "imu"), _axes(mount), removed)


def _objects(content: object, cameras: list[str]) -> ObjectsMount:
    names = ("topic", "frame", "position", "bearing", "axes", "camera", "classes")
    mount = _settings(content, names, "objects")
    frame, camera = (mount.get(key, default) for key, default in (("frame", "base_link"), ("camera", "")))
    if not isinstance(frame, str) or not 1 <= len(frame) <= 200:
        raise BadInput(f"objects.frame is {_SHOWN.repr(frame)}, not the name of a frame")
    if camera != "" and camera not in cameras:
        raise BadInput(f"objects.camera is {_SHOWN.repr(camera)}, not one of the cameras {cameras}")
    classes = mount.get("classes", {})
    if not isinstance(classes, dict) or not all(isinstance(ours, str) for ours in classes.values()):
        raise BadInput(f"objects.classes is {_SHOWN.repr(classes)}, not a mapping of class names to ours")
    return ObjectsMount(
        topic=_topic(mount, ObjectsMount().topic, "objects"),
        frame=frame.strip("/"),
        position=_position(mount, ObjectsMount, "objects"),
        bearing=math.radians(_number(mount, "bearing", 0.0, -360.0, 360.0, "objects")),
        axes=_axes(mount),
        camera=camera,
        classes=tuple((str(name), ours) for name, ours in classes.items()),
    )


def _signals(content: object, taken: set[str]) -> tuple[SignalMount, ...]:
    """`taken` are the modalities of the other sensors: each modality has one encoder."""
    if not isinstance(content, dict):
        raise BadInput(f"signals is {_SHOWN.repr(content)}, not a mapping of names to sensors")
    found = tuple(_signal(name, mount) for name, mount in content.items())
    for mount in found:
        if mount.modality in taken:
            raise BadInput(f"signals.{mount.name} is of modality {mount.modality}, which another sensor of the rig has already")
        if {other.kind for other in found if other.modality == mount.modality} != {mount.kind}:
            raise BadInput(f"signals.{mount.name}: a modality has one kind, {mount.modality} has several")
    return found


def _signal(name: object, content: object) -> SignalMount:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
        raise BadInput(f"signal name {_SHOWN.repr(name)} is not a ROS name: a letter, then letters, digits and _")
    where = f"signals.{name}"
    known = ("kind", "modality", "topic", "bearing", "fov", "axes", "rate", "channels", "encoding")
    mount = _settings(content, known, where)
    kind = mount.get("kind")
    if kind not in SIGNAL_KINDS:
        raise BadInput(f"{where}.kind is {_SHOWN.repr(kind)}, not one of {list(SIGNAL_KINDS)}")
    modality, encoding = mount.get("modality", kind), mount.get("encoding", "S16LE")
    if not isinstance(modality, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", modality):
        raise BadInput(f"{where}.modality is {_SHOWN.repr(modality)}, not a plain lower-case name")
    if not isinstance(encoding, str):
        raise BadInput(f"{where}.encoding is {_SHOWN.repr(encoding)}, not the name of a sample format such as S16LE")
    seen = kind in ("image", "video", "depth", "normals")
    return SignalMount(
        name,
        kind,
        modality,
        topic=_topic(mount, name, where),
        bearing=math.radians(_number(mount, "bearing", 0.0, -360.0, 360.0, where)),
        fov=math.radians(_number(mount, "fov", 70.0 if seen else 360.0, 1.0, 170.0 if seen else 360.0, where)),
        axes=_axes(mount),
        rate=int(_number(mount, "rate", 16_000, 1000, 192_000, where)),
        channels=int(_number(mount, "channels", 8 if kind == "array" else 4, 1, 1024, where)),
        encoding=encoding,
    )


def _settings(content: object, known: tuple[str, ...], where: str) -> dict:
    """`content` as a mapping. Raises BadInput for an unknown setting, which would otherwise silently keep its default."""
    if not isinstance(content, dict):
        raise BadInput(f"{where} is {_SHOWN.repr(content)}, not a mapping of {', '.join(known)}")
    for name in content:
        if name not in known:
            raise BadInput(f"{where} has no setting {_SHOWN.repr(name)}, only {', '.join(known)}")
    return content


def _topic(mount: dict, default: str, where: str) -> str:
    topic = mount.get("topic", default)
    if not isinstance(topic, str) or not re.fullmatch(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*", topic):
        raise BadInput(f"{where}.topic is {_SHOWN.repr(topic)}, not a ROS topic name")
    return topic


def _axes(mount: dict) -> tuple[str, str, str]:
    axes = mount.get("axes", ["+x", "+y", "+z"])
    if not isinstance(axes, list) or not all(isinstance(axis, str) for axis in axes):
        raise BadInput(f"axes is {_SHOWN.repr(axes)}, not three signed axes such as ['+y', '-x', '+z']")
    rotation(tuple(axes))
    return tuple(axes)


def _position(mount: dict, kind: type, where: str) -> tuple[float, float, float]:
    metres = mount.get("position", list(kind.__dataclass_fields__["position"].default))
    if not isinstance(metres, list) or len(metres) != 3:
        raise BadInput(f"{where}.position is {_SHOWN.repr(metres)}, not three numbers [m]")
    x, y, z = (_number({axis: value}, axis, 0.0, -100.0, 100.0, f"{where}.position") for axis, value in zip("xyz", metres))
    return (x, y, z)


def _number(mount: dict, key: str, default: float, low: float, high: float, where: str) -> float:
    value = mount.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadInput(f"{where}.{key} is {_SHOWN.repr(value)}, not a number between {low} and {high}")
    if isinstance(default, int) and value != int(value):
        raise BadInput(f"{where}.{key} is {value}, not a whole number")
    return float(value)
