# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sensor faults as data: black, frozen, shifted in time, half covered, missing. They change frames, not the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...datatypes import NANOSECONDS, BadInput, CameraFrame, Frame, ImuWindow, LidarScan
from ..truth import SceneTruth

KINDS = ("black", "frozen", "shifted", "half_covered", "missing")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The frames of all sensors of a rig at one moment, and the truth."""

    cameras: tuple[CameraFrame, ...]
    lidar: LidarScan | None
    imu: ImuWindow | None
    truth: SceneTruth

    def frames(self) -> list[Frame]:
        """The frames that there are: of the cameras, the lidar, the IMU."""
        return [frame for frame in (*self.cameras, self.lidar, self.imu) if frame is not None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the sensor `source` (a camera's name, "lidar" or "imu") from `since` to `until` seconds of the drive.

    black: zeros, no points. frozen: the same data with new stamps. shifted: stamps `shift` seconds too old. half_covered:
    the left half of the data is missing. missing: no frames. Raises BadInput.
    """

    source: str
    kind: str
    since: float = 0.0
    until: float = math.inf
    shift: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"fault.kind is {self.kind!r}, not one of {list(KINDS)}")
        if self.kind == "half_covered" and self.source == "imu":
            raise BadInput("fault.kind is 'half_covered', which an imu cannot be")
        if not (self.since >= 0 and self.until > self.since):
            raise BadInput(f"fault.since {self.since} and fault.until {self.until} are not a span of time")
        if not 0.0 <= self.shift <= 3600.0:
            raise BadInput(f"fault.shift is {self.shift}, not between 0 and 3600 seconds")


class Faults:
    """Applies faults to one snapshot after another."""

    def __init__(self, faults: Sequence[Fault], sources: Sequence[str]):
        for fault in faults:
            if fault.source not in sources:
                raise BadInput(f"fault.source is {fault.source!r}, not one of {list(sources)}")
        self._faults = tuple(faults)
        self._frozen: dict[Fault, Frame] = {}

    def apply(self, snapshot: Snapshot, seconds: float) -> Snapshot:
        """The snapshot with the faults applied that are active `seconds` into the drive."""
        for fault in self._faults:
            if not fault.since <= seconds < fault.until:
                continue
            if fault.source in ("lidar", "imu"):
                frame = getattr(snapshot, fault.source)
                snapshot = replace(snapshot, **{fault.source: frame and self._faulty(fault, frame)})
            else:
                faulty = (self._faulty(fault, f) if f.source == fault.source else f for f in snapshot.cameras)
                snapshot = replace(snapshot, cameras=tuple(frame for frame in faulty if frame is not None))
        return snapshot

    def _faulty(self, fault: Fault, frame: Frame) -> Frame | None:
        if fault.kind == "missing":
            return None
        if fault.kind == "frozen":
            kept = self._frozen.setdefault(fault, frame)
            return _stamped(kept, frame.stamp)
        if fault.kind == "shifted":
            return _stamped(frame, frame.stamp - round(fault.shift * NANOSECONDS))
        return _dark(frame) if fault.kind == "black" else _half(frame)


def _stamped(frame: Frame, stamp: int) -> Frame:
    if isinstance(frame, ImuWindow):
        return replace(frame, stamp=stamp, times=frame.times + (stamp - frame.stamp))
    return replace(frame, stamp=stamp)


def _dark(frame: Frame) -> Frame:
    if isinstance(frame, CameraFrame):
        return replace(frame, image=np.zeros_like(frame.image))
    if isinstance(frame, LidarScan):
        return replace(frame, points=frame.points[:0])
    return replace(frame, samples=np.zeros_like(frame.samples))


def _half(frame: CameraFrame | LidarScan) -> Frame:
    if isinstance(frame, LidarScan):
        return replace(frame, points=frame.points[frame.points[:, 1] <= 0])
    image = frame.image.copy()
    image[:, : image.shape[1] // 2] = 0
    return replace(frame, image=image)
