# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pairs each frame of a sensor with an older one, from which encoders see motion."""

from __future__ import annotations

from collections import deque

from ..datatypes import FRAME_GAP, NANOSECONDS, Frame

MOTION_GAP = round(FRAME_GAP * NANOSECONDS)
"""FRAME_GAP in nanoseconds."""


class FrameHistory:
    """The recent frames of one source: pairs the newest frame with the one about MOTION_GAP older."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque(maxlen=64)

    def pair(self, newest: Frame) -> tuple[Frame, Frame | None]:
        """Store `newest` and return it with the older frame, None where no frame is 0.25 to 1 s older."""
        if self._frames and newest.stamp < self._frames[-1].stamp:
            self._frames.clear()
        while self._frames and newest.stamp - self._frames[0].stamp > 2 * MOTION_GAP:
            self._frames.popleft()
        old_enough = [frame for frame in self._frames if newest.stamp - frame.stamp >= MOTION_GAP // 2]
        partner = min(old_enough, key=lambda frame: abs(newest.stamp - frame.stamp - MOTION_GAP), default=None)
        self._frames.append(newest)
        return newest, partner
