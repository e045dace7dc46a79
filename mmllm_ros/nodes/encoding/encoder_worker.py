# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker thread of an encoder node: takes frames, measures health and encodes, so that callbacks do not compute."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...config import EncoderConfig
from ...datatypes import BadInput, Tokens
from ...encoders import Encoder
from ...encoders.warm_up import encoding_cost
from ..ros_support.periodic_timer import PeriodicTimer
from .sensor_source import SensorSource

if TYPE_CHECKING:
    from .encoder_node import EncoderNode

POLL_PERIOD = 0.02
"""While encoding is due but no new frame has arrived, the sources are polled this often [s]."""

SMOOTHING = 0.1
"""Weight of the newest measurement in `EncoderWorker.cost`."""

OnTokens = Callable[[list[tuple[SensorSource, Tokens]]], None]


class EncoderWorker:
    """Measures the health of `sources` `health_rate` times a second, and encodes their frames `rate` times while `active`.

    The rates are those of `node.config`; the encoding rate is multiplied by `node.encode_rate_share`. `cost` is the time to
    encode one frame [s], measured at the start and then smoothed. `fault` is the last line of an exception, empty while all is
    well.
    """

    def __init__(self, node: EncoderNode, encoder: Encoder, sources: Sequence[SensorSource]) -> None:
        self.encoder = encoder
        self.sources = sources
        self.encoded = 0
        self.last_pass = 0.0
        self.cost = encoding_cost(encoder, sources[0].name)
        self.fault = ""
        self._node = node
        self._latest: dict[str, Tokens] = {}
        self._requests: list[OnTokens] = []
        self._active = self._stopping = self._clear = False
        self._wake = threading.Event()
        self._encode_timer, self._health_timer = PeriodicTimer(), PeriodicTimer()
        self._thread = threading.Thread(target=self._work, name=f"{encoder.modality} worker")
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether frames are encoded ahead of questions; health is measured in any case."""
        return self._active

    @active.setter
    def active(self, active: bool) -> None:
        if active and not self._active:
            self._encode_timer = PeriodicTimer()  # encode at once after activation, whatever the last time was
        self._active = active
        self._wake.set()

    def encode_now(self, on_tokens: OnTokens) -> None:
        """Encode the newest frames as soon as the thread is free, active or not.

        `on_tokens` gets the latest tokens of every source, in the worker's thread; an empty list where there is no frame.
        """
        self._requests.append(on_tokens)
        self._wake.set()

    def clear(self) -> None:
        """Drop all frames and tokens, as after a jump back in time."""
        self._clear = True
        self._wake.set()

    def wake(self) -> None:
        """Read the rates again now."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread after its current step."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        for source in self.sources:
            source.begin()
        while not self._stopping:
            self._wake.clear()
            try:
                self._step(time.monotonic(), self._node.config)
                self.fault = ""
            except Exception:  # one failing step (memory, a device) does not end the node: it is reported
                if not self._node.context.ok():
                    return
                self.fault = traceback.format_exc().strip().splitlines()[-1]
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=5.0)
            config = self._node.config
            next_time = self._health_timer.next(config.health_rate)
            now = time.monotonic()
            if rate := self._encode_rate(config):
                # Due but not done: no new frame has arrived. The next frame is encoded when it arrives, not a period later.
                due = self._encode_timer.next(rate)
                next_time = min(next_time, due if due > now else now + POLL_PERIOD)
            self._wake.wait(max(0.0, next_time - now))
        self._respond()
        for source in self.sources:
            source.end()

    def _encode_rate(self, config: EncoderConfig) -> float:
        """How often frames are encoded ahead of questions [Hz], 0 = not at all."""
        return config.rate * self._node.encode_rate_share if self._active else 0.0

    def _step(self, now: float, config: EncoderConfig) -> None:
        if self._clear:
            self._clear = False
            self._latest.clear()
            for source in self.sources:
                source.clear()
        rate = self._encode_rate(config)
        encode = rate > 0.0 and now >= self._encode_timer.next(rate)
        requested = bool(self._requests)
        if encode or requested or now >= self._health_timer.next(config.health_rate):
            for source in self.sources:
                source.poll()
        encode = encode and any(source.pair for source in self.sources) and self._encode_timer.due(now, rate)
        # Health is measured with an encoding that comes shortly before it, so that one frame is taken for both.
        early = 0.5 / max(config.rate, config.health_rate) if encode else 0.0
        health = self._health_timer.due(now, config.health_rate, early)
        if encode or requested:
            self._encode(publish=encode)
        if health:
            for source in self.sources:
                self._node.publish_health(source, source.health(config.stale_after, self.cost))

    def _encode(self, publish: bool) -> None:
        """Encode every new frame in one batch, then respond to the requests."""
        new = [source for source in self.sources if source.pair]
        pairs = [source.pair for source in new]
        for source in new:
            source.pair = None
        started = time.monotonic()
        try:
            encoded = self.encoder.encode(pairs)
        except BadInput as error:
            encoded = []
            new[0].reject(error)
        for source, tokens in zip(new, encoded):
            self._latest[source.name] = tokens
            if publish:
                self._node.publish_tokens(source, tokens)
        if encoded:
            self.encoded += len(encoded)
            self.last_pass = time.monotonic() - started
            self.cost += SMOOTHING * (self.last_pass / len(encoded) - self.cost)
        self._respond()

    def _respond(self) -> None:
        requests, self._requests = self._requests, []
        for on_tokens in requests:
            on_tokens([(source, self._latest[source.name]) for source in self.sources if source.name in self._latest])
