# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Topics, CameraInfo and transforms of a robot -> the text of its rig file. Needs no ROS."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..datatypes import BadInput
from ..rig import CLUSTERS, Calibration, CameraMount, right_handed_axes, rotation
from .camera_info import calibration_from_info, info_topic, is_rectified
from .distorted_camera import mounted_camera
from .object_messages import OBJECT_TYPES

BASES = ("base_link", "base_footprint")
"""Frames that may be the base of a robot, the first one that TF knows is taken."""
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
CLOUD, IMU, INFO, TRANSFORMS = (
    "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/Imu", "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage",
)  # fmt: skip
OBLIQUE = math.radians(8.0)
"""A sensor that is turned by more than this from right angles, or a camera that is rolled by more, gets a remark."""
_NO_CAMERA = re.compile(r"depth|disparity|mask|segment|overlay|debug|theora|mmllm/")
_NO_LIDAR = re.compile(r"depth|ground|filter|cluster|map|obstacle|segment|mmllm/")
_LIDAR = re.compile(r"lidar|laser|velodyne|ouster|livox|hesai|rslidar|scan")
_OBJECTS = re.compile(r"object|detect|track|percept|bbox")


@dataclass(slots=True)
class Observed:
    """What was seen of a robot.

    `topics` maps names to types, `infos` the topic of a CameraInfo to its message, `frames` a topic to the frame id of its
    messages, and `parents` a frame to its parent with the rotation [3, 3] and translation [3] into it. `transforms` says why
    there are none, empty where there are some. `simulated` says that the sensors are those of this package's simulator.
    """

    topics: Mapping[str, str]
    infos: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, str] = field(default_factory=dict)
    parents: dict[str, tuple[str, np.ndarray, np.ndarray]] = field(default_factory=dict)
    transforms: str = ""
    simulated: bool = False

    def add_transforms(self, message: Any) -> None:
        """Take the transforms of a TFMessage."""
        for item in message.transforms:
            shift, turn = item.transform.translation, item.transform.rotation
            place = np.array([shift.x, shift.y, shift.z])
            parent, child = item.header.frame_id.strip("/"), item.child_frame_id.strip("/")
            self.parents[child] = (parent, quaternion_matrix(turn), place)

    def base(self) -> str:
        """The frame of the robot's base."""
        known = {*self.parents, *(parent for parent, _, _ in self.parents.values())}
        return next((name for name in BASES if name in known), BASES[0])

    def pose(self, frame: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Rotation [3, 3] and translation [3] from `frame` to the base; None where nothing connects them."""
        (top, turn, place), (other, base_turn, base_place) = self._to_root(frame), self._to_root(self.base())
        if top != other:
            return None
        return base_turn.T @ turn, base_turn.T @ (place - base_place)

    def _to_root(self, frame: str) -> tuple[str, np.ndarray, np.ndarray]:
        turn, place = np.eye(3), np.zeros(3)
        for _ in range(len(self.parents)):  # a cycle would never end
            if frame not in self.parents:
                break
            frame, step, shift = self.parents[frame]
            turn, place = step @ turn, step @ place + shift
        return frame, turn, place


@dataclass(frozen=True, slots=True)
class Chosen:
    """The topics that carry the sensors: cameras by name, and one of each other kind, empty where there is none. `others` are
    further topics of the same type."""

    cameras: dict[str, str]
    lidar: str
    imu: str
    objects: str
    others: dict[str, list[str]]


def choose_topics(topics: Mapping[str, str]) -> Chosen:
    """One topic for each camera, undistorted images rather than others and raw rather than compressed ones; of several clouds,
    IMUs and object lists the one whose name says most clearly what it is."""
    images = [name for name, kind in sorted(topics.items()) if kind in IMAGES and not _NO_CAMERA.search(name)]
    by_camera: dict[str, list[str]] = {}
    for name in images:
        by_camera.setdefault(info_topic(name), []).append(name)
    best = [
        min(names, key=lambda name: (not is_rectified(name), name.endswith("/compressed"), len(name)))
        for names in by_camera.values()
    ]
    clouds = [name for name, kind in sorted(topics.items()) if kind == CLOUD]
    usual = [name for name in clouds if not _NO_LIDAR.search(name)] or clouds
    lidars = sorted(usual, key=lambda name: (not _LIDAR.search(name), len(name)))
    imus = sorted((name for name, kind in topics.items() if kind == IMU), key=lambda name: ("raw" in name, len(name), name))
    objects = sorted(
        name
        for name, kind in topics.items()
        if kind in OBJECT_TYPES and (kind.startswith("vision_msgs") or _OBJECTS.search(name)) and "mmllm/" not in name
    )
    others = {"lidar": lidars[1:], "imu": imus[1:], "objects": objects[1:]}
    return Chosen(_camera_names(best), *((found or [""])[0] for found in (lidars, imus, objects)), others)


def _camera_names(topics: Sequence[str]) -> dict[str, str]:
    """A name for each image topic: its folder, with as many parent folders as tell the cameras apart."""
    folders = {topic: [part for part in info_topic(topic).strip("/").split("/")[:-1] if part] or ["camera"] for topic in topics}
    names = {}
    for topic, parts in folders.items():
        depth = 1
        while depth < len(parts) and any(other[-depth:] == parts[-depth:] for key, other in folders.items() if key != topic):
            depth += 1
        name = re.sub(r"\W", "_", "_".join(parts[-depth:]))[:60]
        names[name if name[0].isalpha() else f"camera_{name}"] = topic
    return names


def rig_text(seen: Observed, chosen: Chosen | None = None) -> str:
    """The rig file, with a comment wherever something could not be found out. Raises BadInput where no topic is a sensor's.

    `chosen` names the topics where they are not those of `choose_topics`.
    """
    chosen = chosen or choose_topics(seen.topics)
    if not (chosen.cameras or chosen.lidar or chosen.imu or chosen.objects):
        known = ", ".join(f"{name} ({kind})" for name, kind in sorted(seen.topics.items())[:20]) or "none"
        raise BadInput(f"no topic carries images, a point cloud, an IMU or detected objects; topics are: {known}")
    lines = [
        f"# Written by `mmllm rig`. Angles in degrees, lengths in metres, in {seen.base()} (REP-103). Comments say what to check."
    ]
    if seen.transforms:
        lines.append(f"# No mounts: {seen.transforms}. Fill in bearing, pitch, position and axes.")
    if chosen.cameras:
        lines.append("cameras:")
        lines += [f"  {name}: {_camera(name, topic, seen)}" for name, topic in chosen.cameras.items()]
    for kind, topic in (("lidar", chosen.lidar), ("imu", chosen.imu), ("objects", chosen.objects)):
        if topic:
            more = f"other topics: {', '.join(chosen.others[kind][:6])}" if chosen.others[kind] else ""
            lines.append(f"{kind}: {_sensor(kind, topic, seen, more)}")
    return "\n".join(lines) + "\n"


def _camera(name: str, topic: str, seen: Observed) -> str:
    parts, remarks = [f"topic: {topic}"], []
    info, calibration = seen.infos.get(info_topic(topic)), None
    mount = CameraMount(name, topic, 0.0, math.radians(70.0))
    frame = info.header.frame_id if info else seen.frames.get(topic, "")
    pose = seen.pose(frame.strip("/")) if frame else None
    if pose:
        mount, roll = _camera_mount(mount, *pose)
        bearing = round(math.degrees(mount.bearing), 1) + 0.0  # no minus zero
        parts.append(f"bearing: {180.0 if bearing == -180.0 else bearing}")  # rounding decides about the sign of straight back
        position = ", ".join(f"{metres:.3f}" for metres in mount.position)
        parts.append(f"pitch: {math.degrees(mount.pitch):.1f}, position: [{position}]")
        if abs(roll) > OBLIQUE:
            remarks.append(f"it is rolled by {math.degrees(roll):.0f} degrees, which the rig cannot say: publish upright images")
    else:
        parts.append("bearing: 0")
        remarks.append(f"bearing, pitch and position are not known: {_unknown(frame, seen)}")
    if info is None:
        parts.append("fov: 70")
        remarks.append(f"fov is not known: nobody publishes {info_topic(topic)}")
    else:
        try:
            calibration = calibration_from_info(info, is_rectified(topic))
        except BadInput as error:
            parts.append("fov: 70")
            remarks.append(f"fov is not known: {error}")
    if calibration:
        parts.append(f"fov: {math.degrees(_field_of_view(calibration)):.1f}")
        parts.append(f"calibration: {_calibration(calibration)}")
    return _entry(parts, remarks)


def _camera_mount(mount: CameraMount, turn: np.ndarray, place: np.ndarray) -> tuple[CameraMount, float]:
    """The mount of optical axes (x right, y down, z forward), and by how much [rad] it is rolled, clockwise positive."""
    right, _, forward = turn.T
    bearing, pitch = math.atan2(forward[1], forward[0]), math.asin(max(-1.0, min(1.0, -forward[2])))
    level = np.array([math.sin(bearing), -math.cos(bearing), 0.0])
    roll = math.atan2(-right[2] / max(math.cos(pitch), 1e-6), float(right @ level))
    x, y, z = (float(metres) for metres in place)
    return CameraMount(mount.name, mount.topic, bearing, mount.fov, (x, y, z), pitch), roll


def _field_of_view(calibration: Calibration) -> float:
    """Horizontal field of view [rad] between 10 and 170 degrees, the range that a rig file may state."""
    mount = CameraMount("", "", 0.0, 1.0, (0.0, 0.0, 0.0), 0.0, calibration)
    width, height = calibration.size
    edges = mounted_camera(mount, width, height).rays(np.array([[0.0, calibration.centre[1]], [width, calibration.centre[1]]]))
    left, right = (math.acos(max(-1.0, min(1.0, ray[0]))) for ray in edges)
    return max(math.radians(10.0), min(left + right, math.radians(170.0)))


def _calibration(known: Calibration) -> str:
    def listed(values: Sequence[float]) -> str:
        return f"[{', '.join(f'{value:.8g}' for value in values)}]"

    parts = [f"size: {listed(known.size)}", f"focal: {listed(known.focal)}", f"centre: {listed(known.centre)}"]
    if known.distortion:
        parts += [f"lens: {known.lens}", f"distortion: {listed(known.distortion)}"]
    return f"{{{', '.join(parts)}}}"


def _sensor(kind: str, topic: str, seen: Observed, more: str) -> str:
    parts, remarks = [f"topic: {topic}"], [more] if more else []
    frame = seen.frames.get(topic, "").strip("/")
    if kind == "lidar" and not seen.simulated:
        parts.append(f"encoder: {CLUSTERS}")
    if kind == "objects":
        if frame and frame != BASES[0]:
            parts.append(f"frame: {frame}")
        if seen.topics.get(topic, "").endswith("Detection2DArray"):
            remarks.append("boxes in an image: name their camera, `camera: NAME`")
    pose = seen.pose(frame) if frame else None
    if pose is None:
        return _entry(parts, [*remarks, f"its mount is not known: {_unknown(frame, seen)}"])
    axes, bearing, rest = _axes(pose[0], kind == "objects")
    if axes != ("+x", "+y", "+z"):
        parts.append(f"axes: [{', '.join(axes)}]")
    if bearing:
        parts.append(f"bearing: {math.degrees(bearing):.1f}")
    if kind != "imu":
        parts.append(f"position: [{', '.join(f'{metres:.3f}' for metres in pose[1])}]")
    if rest > OBLIQUE:
        remarks.append(f"TF turns it by {math.degrees(rest):.0f} degrees more than these axes say")
    return _entry(parts, remarks)


def _axes(turn: np.ndarray, with_bearing: bool) -> tuple[tuple[str, str, str], float, float]:
    """The axes nearest to a rotation into the base, the bearing [rad] left over where one can be stated, and the rest [rad]."""
    bearing = 0.0
    best = max(right_handed_axes(), key=lambda axes: float(np.trace(rotation(axes).T @ turn)))
    rest = turn @ rotation(best).T.astype(float)
    if with_bearing:
        bearing = math.atan2(rest[1, 0] - rest[0, 1], rest[0, 0] + rest[1, 1])
        c, s = math.cos(bearing), math.sin(bearing)
        rest = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) @ rest
    angle = math.acos(max(-1.0, min(1.0, (float(np.trace(rest)) - 1.0) / 2.0)))
    return best, bearing if abs(bearing) > 1e-3 else 0.0, angle


def _unknown(frame: str, seen: Observed) -> str:
    if not frame:
        return "no message of it arrived"
    return seen.transforms or f"no transform connects its frame {frame} with {seen.base()}"


def _entry(parts: Sequence[str], remarks: Sequence[str]) -> str:
    return f"{{{', '.join(parts)}}}" + (f"  # {'; '.join(remarks)}" if remarks else "")


def quaternion_matrix(turn: Any) -> np.ndarray:
    """The rotation matrix [3, 3] of a quaternion message."""
    length = math.sqrt(turn.x**2 + turn.y**2 + turn.z**2 + turn.w**2)
    if not length > 0:  # NaN compares false
        raise BadInput(f"the quaternion ({turn.x:g}, {turn.y:g}, {turn.z:g}, {turn.w:g}) is no rotation")
    x, y, z, w = (value / length for value in (turn.x, turn.y, turn.z, turn.w))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
