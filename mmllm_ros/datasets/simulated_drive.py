# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Moments of a simulated drive: frames, the health that the encoder nodes would report, and the truth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..context.sensor_monitor import SensorMonitor
from ..datatypes import Frame, Health
from ..rig import Rig
from ..simulator.drive import Drive
from ..simulator.sensors.faults import Snapshot
from ..simulator.truth import SceneTruth

STALE_AFTER = 1.0
"""A sensor without a frame for longer [s] is unhealthy, as in the encoder nodes."""


@dataclass(frozen=True, slots=True)
class SimulatedMoment:
    """`pairs` are frames, each with the frame FRAME_GAP older; `cpu` is the CPU time of the health signals [s]."""

    truth: SceneTruth
    pairs: tuple[tuple[Frame, Frame | None], ...]
    healths: tuple[Health, ...]
    cpu: float


def moments(drive: Drive, seconds: float, period: float) -> Iterator[SimulatedMoment]:
    """A moment every `period` seconds until `seconds` of the drive."""
    sensors = DriveSensors(drive.rig)
    while True:
        yield sensors.observe(drive.capture())
        if drive.seconds + period > seconds:
            return
        drive.advance(period)


class DriveSensors:
    """A SensorMonitor for every sensor of a rig, as in the encoder nodes, without ROS."""

    def __init__(self, rig: Rig) -> None:
        names = [("camera", mount.name) for mount in rig.cameras]
        names += [(modality, modality) for modality in ("lidar", "imu") if getattr(rig, modality)]
        self._monitors = {name: SensorMonitor(*name) for name in names}

    def observe(self, snapshot: Snapshot) -> SimulatedMoment:
        """One moment; the health of a sensor without a frame has the age of its latest frame."""
        frames = snapshot.frames()
        began = time.process_time()
        pairs = tuple(self._add(frame) for frame in frames)
        healths = tuple(monitor.health(snapshot.truth.stamp, STALE_AFTER) for monitor in self._monitors.values())
        return SimulatedMoment(snapshot.truth, pairs, healths, time.process_time() - began)

    def _add(self, frame: Frame) -> tuple[Frame, Frame | None]:
        monitor = self._monitors[frame.modality, frame.source]
        monitor.count(frame.stamp)
        return monitor.add(frame)
