# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread of an encoder node that takes frames, measures health and encodes, so that no callback ever computes."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence

from rclpy.node import Node

from ..config import EncoderConfig
from ..datatypes import BadInput, Health, Tokens
from ..encoders import Encoder
from .beat import Beat
from .sensor_source import SensorSource


class EncoderWorker:
    """Polls `sources` when due: `health_rate` times a second to measure health, `rate` times to encode while `active`.

    Args:
        node: for its log and its context.
        config: gives the rates in force.
        on_tokens, on_health: called in the worker's thread.
    """

    def __init__(
        self,
        node: Node,
        encoder: Encoder,
        sources: Sequence[SensorSource],
        config: Callable[[], EncoderConfig],
        on_tokens: Callable[[SensorSource, Tokens], None],
        on_health: Callable[[SensorSource, Health], None],
    ) -> None:
        self.encoder = encoder
        self.sources = sources
        self.fault = ""
        self.encoded = 0
        self.last_pass = 0.0
        self._node = node
        self._config = config
        self._on_tokens = on_tokens
        self._on_health = on_health
        self._active = self._stopping = self._forget = False
        self._wake = threading.Event()
        self._encode_beat, self._health_beat = Beat(), Beat()
        self._thread = threading.Thread(target=self._work, name=f"{encoder.modality} worker")
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether frames are encoded; health is measured all the same."""
        return self._active

    @active.setter
    def active(self, active: bool) -> None:
        self._active = active
        self._wake.set()

    def forget(self) -> None:
        """Time has jumped back: drop everything seen so far."""
        self._forget = True
        self._wake.set()

    def hurry(self) -> None:
        """Look at the rates again."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread, once it has finished what it is doing."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        for source in self.sources:
            source.begin()
        while not self._stopping:
            self._wake.clear()
            try:
                self._step(time.monotonic(), self._config())
                self.fault = ""
            except Exception:  # one bad moment (memory, a device) must not end the node in silence
                if not self._node.context.ok():
                    return
                self.fault = traceback.format_exc().strip().splitlines()[-1]
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=5.0)
            config = self._config()
            next_time = self._health_beat.next(config.health_rate)
            if self._active:
                next_time = min(next_time, self._encode_beat.next(config.rate))
            self._wake.wait(max(0.0, next_time - time.monotonic()))
        for source in self.sources:
            source.end()

    def _step(self, now: float, config: EncoderConfig) -> None:
        if self._forget:
            self._forget = False
            for source in self.sources:
                source.forget()
        encode = self._active and self._encode_beat.due(now, config.rate)
        # Health joins an encoding that comes shortly before it: one frame is taken for both.
        early = 0.5 / max(config.rate, config.health_rate) if encode else 0.0
        health = self._health_beat.due(now, config.health_rate, early)
        if encode or health:
            for source in self.sources:
                source.poll()
        if encode:
            self._encode([source for source in self.sources if source.pair])
        if health:
            for source in self.sources:
                self._on_health(source, source.health(config.stale_after))

    def _encode(self, fresh: Sequence[SensorSource]) -> None:
        started = time.monotonic()
        pairs = [source.pair for source in fresh]
        for source in fresh:
            source.pair = None
        try:
            encoded = self.encoder.encode(pairs)
        except BadInput as error:
            fresh[0].refuse(error)
            return
        for source, tokens in zip(fresh, encoded):
            self._on_tokens(source, tokens)
        if encoded:
            self.encoded += len(encoded)
            self.last_pass = time.monotonic() - started
