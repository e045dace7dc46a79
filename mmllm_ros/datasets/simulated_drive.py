# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Moments of a simulated drive: frames, the health that the encoder nodes would report, and the truth."""

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
    """Frame pairing and health of every sensor of a rig, as in the encoder nodes, without ROS."""

    def __init__(self, rig: Rig) -> None:
        self._sensors = {
            **{("camera", mount.name): _Sensor("camera", mount.name) for mount in rig.cameras},
            **({("lidar", "lidar"): _Sensor("lidar", "lidar")} if rig.lidar else {}),
            **({("imu", "imu"): _Sensor("imu", "imu")} if rig.imu else {}),
        }

    def observe(self, snapshot: Snapshot) -> SimulatedMoment:
        """One moment; the health of a sensor without a frame has the age of its latest frame."""
        frames = [frame for frame in (*snapshot.cameras, snapshot.lidar, snapshot.imu) if frame is not None]
        began = time.process_time()
        pairs = tuple(self._sensors[frame.modality, frame.source].add(frame) for frame in frames)
        healths = tuple(sensor.health(snapshot.truth.stamp) for sensor in self._sensors.values())
        return SimulatedMoment(snapshot.truth, pairs, healths, time.process_time() - began)


class _Sensor:
    def __init__(self, modality: str, source: str) -> None:
        self._modality, self._source = modality, source
        self._history, self._rate_monitor = History(), RateMonitor()
        self._latest: Frame | None = None
        self._signals: dict[str, float] = {}

    def add(self, frame: Frame) -> tuple[Frame, Frame | None]:
        self._signals = measure(frame, self._latest)
        self._latest = frame
        self._rate_monitor.add(frame.stamp)
        return self._history.pair(frame)

    def health(self, now: int) -> Health:
        stamp = self._latest.stamp if self._latest else 0
        age = (now - stamp) / NANOSECONDS
        healthy, reason = judge(self._signals, age, STALE_AFTER)
        rate, jitter = self._rate_monitor.rate, self._rate_monitor.jitter
        return Health(self._modality, self._source, stamp, rate, age, jitter, 0, self._signals, healthy, reason)
