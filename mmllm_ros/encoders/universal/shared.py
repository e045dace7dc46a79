# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One universal encoder in a process, however many sensors and modalities use it: the weights are loaded once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np

from ...datatypes import GRAVITY, BadInput, Signal, Tokens
from .packs import Packs
from .signals import Layout


class SharedEncoder:
    """Holds what the first user loads, and frees it after the last one. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._packs: Packs | None = None

    def acquire(self, modality: str, load: Callable[[], Packs]) -> ModalityEncoder:
        """The encoder of one modality, for a user who calls `release` in the end. Raises what `load` raises, and BadInput."""
        with self._lock:
            packs = self._packs or load()
            made = ModalityEncoder(modality, packs)
            self._packs = packs
            self._users += 1
            return made

    def release(self) -> None:
        """One user less."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._packs = None


class ModalityEncoder:
    """The part of a universal encoder that encodes one modality, in the form that the worker of an encoder node calls.

    `revision` is that of the encoder, or of the modality's pack. Raises BadInput for a modality that it does not know.
    """

    def __init__(self, modality: str, packs: Packs) -> None:
        self.modality = modality
        self.layout: Layout = packs.encoder.layout(modality)
        self.is_pack = modality in packs.loaded
        self.revision = packs.loaded[modality].revision if self.is_pack else packs.encoder.revision
        self._packs = packs

    def encode(self, pairs: Sequence[tuple[Signal, Signal | None]]) -> list[Tokens]:
        """The tokens of the newer signal of each pair. Raises BadInput."""
        return self._packs.encode([newest for newest, _ in pairs])

    def example(self, source: str) -> Signal:
        """A signal that nothing sensed, to warm up and to measure the time of a pass."""
        return Signal(self.modality, 1, source, _example(self.layout), kind=self.layout.kind)


def _example(layout: Layout) -> np.ndarray:
    kind, size = layout.kind, layout.size
    if kind == "image":
        return np.full((3, *size), 128, np.uint8)
    if kind == "video":
        return np.full((size[0], 3, *size[1:]), 128, np.uint8)
    if kind == "depth":
        return np.full((1, *size), 10.0, np.float32)
    if kind == "normals":
        return np.stack([np.zeros(size), np.zeros(size), np.ones(size)]).astype(np.float32)
    if kind == "points":
        bearing = np.linspace(-math.pi, math.pi, 20_000, dtype=np.float32)
        return np.stack([20 * np.cos(bearing), 20 * np.sin(bearing), 0 * bearing, 0 * bearing + 0.3], 1)
    if kind == "audio":
        return np.zeros((size[0], 33_600), np.float32)
    if kind == "imu":
        return np.tile(np.float32([0, 0, GRAVITY, 0, 0, 0]), (100, 1))
    if kind == "array":
        return np.zeros(size, np.float32)
    raise BadInput(f"kind of signal {kind!r} is not known")
