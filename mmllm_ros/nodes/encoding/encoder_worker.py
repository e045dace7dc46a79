# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread of an encoder node that takes frames, measures health and encodes, so that no callback ever computes."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence

from rclpy.node import Node

from ...config import EncoderConfig
from ...datatypes import Health
from ..ros_support.periodic_timer import PeriodicTimer
from .encoder_runner import Encoding, Handed
from .sensor_source import SensorSource

AWAITED = 0.02
"""How soon is looked again for a frame that should be encoded but has not come [s]."""


class EncoderWorker:
    """Polls `sources` when due: `health_rate` times a second to measure health, `rate` times to encode while `active`.

    Args:
        node: for its log and its context.
        config: gives the rates in force; `duty` is the share of the encoding rate that the plan leaves, 0 = only when asked,
            and takes effect at once after `hurry`.
        on_health: called in the worker's thread.
    """

    def __init__(
        self,
        node: Node,
        encoding: Encoding,
        sources: Sequence[SensorSource],
        config: Callable[[], EncoderConfig],
        on_health: Callable[[SensorSource, Health], None],
        duty: float = 1.0,
    ) -> None:
        self.encoding = encoding
        self.sources = sources
        self.fault = ""
        self.duty = duty
        self._node = node
        self._config = config
        self._on_health = on_health
        self._active = self._stopping = self._forget = False
        self._wake = threading.Event()
        self._encode_beat, self._health_beat = PeriodicTimer(), PeriodicTimer()
        self._thread = threading.Thread(target=self._work, name=f"{encoding.encoder.modality} worker")
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether frames are encoded ahead of questions; health is measured all the same."""
        return self._active

    @active.setter
    def active(self, active: bool) -> None:
        if active and not self._active:
            self._encode_beat = PeriodicTimer()  # what is plugged speaks at once, whenever it last did
        self._active = active
        self._wake.set()

    def encode_now(self, done: Handed) -> None:
        """Encode the newest frames as soon as the thread is free, active or not; `done` gets all tokens, in the thread."""
        self.encoding.ask(done)
        self._wake.set()

    def forget(self) -> None:
        """Time has jumped back: drop everything seen so far."""
        self._forget = True
        self._wake.set()

    def hurry(self) -> None:
        """Look at the rates and at `duty` again."""
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
            now = time.monotonic()
            if rate := self._encode_rate(config):
                # Due and not done: the sensor has sent nothing new, and its next frame is not left to the next beat.
                due = self._encode_beat.next(rate)
                next_time = min(next_time, due if due > now else now + AWAITED)
            self._wake.wait(max(0.0, next_time - now))
        self.encoding.hand_out()
        for source in self.sources:
            source.end()

    def _encode_rate(self, config: EncoderConfig) -> float:
        """How often frames are encoded ahead of questions now [Hz], 0 = not at all."""
        return config.rate * self.duty if self._active else 0.0

    def _step(self, now: float, config: EncoderConfig) -> None:
        if self._forget:
            self._forget = False
            self.encoding.forget()
        rate = self._encode_rate(config)
        encode = rate > 0.0 and now >= self._encode_beat.next(rate)
        asked = self.encoding.wanted
        if encode or asked or now >= self._health_beat.next(config.health_rate):
            for source in self.sources:
                source.poll()
        encode = encode and any(source.pair for source in self.sources) and self._encode_beat.due(now, rate)
        # Health joins an encoding that comes shortly before it: one frame is taken for both.
        early = 0.5 / max(config.rate, config.health_rate) if encode else 0.0
        health = self._health_beat.due(now, config.health_rate, early)
        if encode or asked:
            self.encoding.run(publish=encode)
        if health:
            for source in self.sources:
                self._on_health(source, source.health(config.stale_after, self.encoding.cost))
