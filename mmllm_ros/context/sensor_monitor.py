# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The front end of one sensor: its newest frame paired with an older one, the mounting of an IMU, and its health.

Used by the encoder nodes, by offline replay and by the evaluation on simulated drives.
"""

from __future__ import annotations

from dataclasses import replace

from ..datatypes import NANOSECONDS, Frame, Health, ImuWindow
from ..io.frame_history import FrameHistory
from .health_check import check_health, is_silent
from .health_signals import measure
from .imu_mounting import ImuMountingEstimator
from .rate_monitor import RateMonitor


class SensorMonitor:
    """State of the sensor `modality`/`source`.

    `newest` is the newest frame, None before the first; `start` [ns] is the time from which a missing first frame is counted.
    """

    def __init__(self, modality: str, source: str, start: int = 0) -> None:
        self.modality = modality
        self.source = source
        self.start = start
        self.newest: Frame | None = None
        self._history = FrameHistory()
        self._rate = RateMonitor()
        self._mounting = ImuMountingEstimator()
        self._measured: Frame | None = None
        self._signals: dict[str, float] = {}

    def count(self, stamp: int, messages: int = 1) -> None:
        """Count a message stamped `stamp` [ns] for rate and jitter: the last of `messages` sent since the one before."""
        self._rate.add(stamp, messages)

    def add(self, frame: Frame) -> tuple[Frame, Frame | None]:
        """Take a new frame. Returns it with the frame about FRAME_GAP older, None where there is none.

        A window of an IMU gets the mounting that is estimated from all samples so far.
        """
        if isinstance(frame, ImuWindow):
            frame = replace(frame, mounting=self._mounting.update(frame))
        self.newest = frame
        return self._history.pair(frame)

    def health(self, now: int, stale_after: float, silence: float | None = None, cost: float = 0.0, rejected: int = 0) -> Health:
        """The health at `now` [ns]; signals are measured once per frame.

        Args:
            stale_after: longest age [s] of the newest frame.
            silence: time since the newest frame arrived [s], None where only its stamp is known.
            cost: time to encode one frame [s].
            rejected: number of rejected messages.
        """
        if self.newest is not None and self.newest is not self._measured:
            self._signals = measure(self.newest, self._measured)
            self._measured = self.newest
        stamp = self.newest.stamp if self.newest else 0
        age = (now - (stamp or self.start)) / NANOSECONDS
        healthy, reason = check_health(self._signals, age, stale_after, silence)
        return Health(
            modality=self.modality,
            source=self.source,
            stamp=stamp,
            rate=0.0 if age > stale_after or is_silent(stale_after, silence) else self._rate.rate,
            age=age,
            jitter=self._rate.jitter,
            rejected=rejected,
            signals=self._signals,
            healthy=healthy,
            reason=reason,
            cost=cost,
        )
