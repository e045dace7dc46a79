# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Moments of a simulated drive as a robot meets them: frames, the health its nodes would report, and what was true."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..context.health_check import judge
from ..context.health_signals import measure
from ..context.rate_monitor import RateMonitor
from ..datatypes import NANOSECONDS, Frame, Health
from ..encoders import History
from ..rig import Rig
from ..simulator.drive import Drive
from ..simulator.sensors.faults import Snapshot
from ..simulator.truth import SceneTruth

STALE_AFTER = 1.0
"""A sensor silent for longer [s] is out of order, as in the encoder nodes."""


@dataclass(frozen=True, slots=True)
class SimulatedMoment:
    """`pairs` are the frames with their partners half a second older, `cpu` [s] is what measuring the signals took."""

    truth: SceneTruth
    pairs: tuple[tuple[Frame, Frame | None], ...]
    healths: tuple[Health, ...]
    cpu: float


def moments(drive: Drive, seconds: float, period: float) -> Iterator[SimulatedMoment]:
    """A moment every `period` seconds, for so many seconds."""
    senses = DriveSensors(drive.rig)
    while True:
        yield senses.look(drive.capture())
        if drive.seconds + period > seconds:
            return
        drive.advance(period)


class DriveSensors:
    """What the encoder nodes of a rig know, without their nodes."""

    def __init__(self, rig: Rig) -> None:
        self._sensors = {
            **{("camera", mount.name): _Sensor("camera", mount.name) for mount in rig.cameras},
            **({("lidar", "lidar"): _Sensor("lidar", "lidar")} if rig.lidar else {}),
            **({("imu", "imu"): _Sensor("imu", "imu")} if rig.imu else {}),
        }

    def look(self, snapshot: Snapshot) -> SimulatedMoment:
        """One moment; a sensor that gives no frame has its silence in its health."""
        frames = [frame for frame in (*snapshot.cameras, snapshot.lidar, snapshot.imu) if frame is not None]
        began = time.process_time()
        pairs = tuple(self._sensors[frame.modality, frame.source].see(frame) for frame in frames)
        healths = tuple(sensor.health(snapshot.truth.stamp) for sensor in self._sensors.values())
        return SimulatedMoment(snapshot.truth, pairs, healths, time.process_time() - began)


class _Sensor:
    def __init__(self, modality: str, source: str) -> None:
        self._modality, self._source = modality, source
        self._history, self._tempo = History(), RateMonitor()
        self._newest: Frame | None = None
        self._signals: dict[str, float] = {}

    def see(self, frame: Frame) -> tuple[Frame, Frame | None]:
        self._signals = measure(frame, self._newest)
        self._newest = frame
        self._tempo.add(frame.stamp)
        return self._history.pair(frame)

    def health(self, now: int) -> Health:
        stamp = self._newest.stamp if self._newest else 0
        age = (now - stamp) / NANOSECONDS
        healthy, reason = judge(self._signals, age, STALE_AFTER)
        rate, jitter = self._tempo.rate, self._tempo.jitter
        return Health(self._modality, self._source, stamp, rate, age, jitter, 0, self._signals, healthy, reason)
