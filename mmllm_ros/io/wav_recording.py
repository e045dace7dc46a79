# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A WAV file in the form of a recording: the sound of the rig's microphones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..datatypes import NANOSECONDS, BadInput, Frame
from ..rig import Mount, Rig, SignalMount
from .signals import signal_of
from .sound import SoundBuffer, encode_pcm, read_wav

PERIOD = NANOSECONDS // 2
"""Time from one signal to the next [ns]."""
RIG = "signals"


class WavRecording:
    """Has the methods of rosbag.Recording that answering needs.

    A file with one channel is heard by all microphones alike, so that it has no direction. Raises BadInput.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._sound, self._rate = read_wav(self.path)
        self.start = NANOSECONDS
        if self._sound.shape[1] < self._rate // 2:
            raise BadInput(f"{self.path} lasts less than half a second")

    def fitting_rig(self) -> str:
        """The shipped rig that has microphones."""
        return RIG

    def sensors(self, rig: Rig) -> dict[str, Mount]:
        """No sensor but the microphones."""
        return {}

    def signals(self, rig: Rig) -> list[tuple[str, SignalMount]]:
        """The microphones. Raises BadInput where the rig has none, or another number of them."""
        mount = next((mount for mount in rig.signals if mount.kind == "audio"), None)
        channels = len(self._sound)
        if mount is None:
            raise BadInput(f"rig {rig.name} has no signal of kind audio, which {self.path} would be")
        if channels not in (1, mount.channels):
            raise BadInput(f"{self.path} has {channels} channels, signals.{mount.name} of rig {rig.name} {mount.channels}")
        return [(mount.topic, mount)]

    def frames(self, rig: Rig, objects: object = None) -> Iterator[Frame]:
        """Signals of the last seconds, every half second; there are no `objects`."""
        ((_, mount),) = self.signals(rig)
        buffer, step = SoundBuffer(self._rate, mount.channels, "S16LE"), self._rate // 2
        sound = np.broadcast_to(self._sound, (mount.channels, self._sound.shape[1]))
        count = sound.shape[1] // step
        for number in range(count):
            buffer.push(self.start + (number + 1) * PERIOD, encode_pcm(sound[:, number * step : (number + 1) * step]))
            # A short file is answered at its end, however little it holds.
            if heard := buffer.window(0.0) if number == count - 1 else buffer.window():
                yield signal_of(mount, *heard)
