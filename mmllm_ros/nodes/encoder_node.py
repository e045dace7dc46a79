# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The base of the encoder nodes: sensor topics in, tokens while active and health always out."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from ..config import EncoderConfig
from ..datatypes import BadInput, Health, Tokens
from ..encoders import Encoder, load_encoder
from ..latent.manifest import Manifest
from ..msg import SensorHealth, SensorTokens
from ..rig import Rig, load_rig
from . import qos
from .clock import on_jump_back
from .diagnostics import Diagnostics, Level, Status
from .encoder_worker import EncoderWorker
from .messages import health_to_message, tokens_to_message
from .parameters import declare
from .sensor_source import SensorSource


class EncoderNode(LifecycleNode, ABC):
    """configure loads the weights and starts to measure health, activate starts to encode, cleanup frees the weights."""

    modality: ClassVar[str]

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(f"{self.modality}_encoder", **node_arguments)
        self.config = declare(self, EncoderConfig, self._on_config)
        self.rig = load_rig(self.config.rig)
        self._worker: EncoderWorker | None = None
        self._sources: list[SensorSource] = []
        self._failure = ""
        # One message per source: a slow reader gets the newest of each, not a queue.
        self._tokens = self.create_publisher(SensorTokens, "mmllm/tokens", QoSProfile(depth=max(1, self.sensors(self.rig))))
        self._health = self.create_publisher(SensorHealth, "mmllm/health", qos.RELIABLE)
        self._diagnostics = Diagnostics(self, self._statuses)
        on_jump_back(self, self._on_jump)

    @staticmethod
    @abstractmethod
    def sensors(rig: Rig) -> int:
        """How many sensors of this modality the rig carries."""

    @abstractmethod
    def make_sources(self) -> list[SensorSource]:
        """Subscribe to the sensors of the rig."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            encoder = self._load()
            self._sources = self._sources or self.make_sources()
        except Exception as error:  # rclpy swallows what a transition raises, and whoever asked needs the reason
            self._failure = f"not configured: {error}"
            self.get_logger().error(f"{self._failure}\n{traceback.format_exc()}")
            return TransitionCallbackReturn.FAILURE
        self._failure = ""
        self._worker = EncoderWorker(self, encoder, self._sources, lambda: self.config, self._on_tokens, self._on_health)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._worker.active = True
        return TransitionCallbackReturn.SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._worker.active = False
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        self._release()
        super().destroy_node()

    def _load(self) -> Encoder:
        if not self.sensors(self.rig):
            raise BadInput(f"rig {self.rig.name} has no {self.modality}")
        folder = Path(self.config.model) if self.config.model else _shipped_model()
        encoder = load_encoder(folder / "encoders" / self.modality, self.rig, self.config.device)
        expected = Manifest.read(folder).encoder_revisions.get(self.modality)
        if encoder.revision != expected:
            raise BadInput(
                f"encoder {self.modality} has revision {encoder.revision}, the model in {folder} is made for {expected}"
            )
        return encoder

    def _release(self) -> None:
        worker, self._worker = self._worker, None
        if worker:
            worker.stop()

    def _on_tokens(self, source: SensorSource, tokens: Tokens) -> None:
        self._tokens.publish(tokens_to_message(tokens, source.frame_id))

    def _on_health(self, source: SensorSource, health: Health) -> None:
        self._health.publish(health_to_message(health, source.frame_id))

    def _on_config(self, config: EncoderConfig) -> None:
        self.config = config
        if self._worker:
            self._worker.hurry()

    def _on_jump(self) -> None:
        if self._worker:
            self._worker.forget()

    def _statuses(self) -> Iterator[Status]:
        worker = self._worker
        if worker is None:
            yield Status(
                "encoder", Level.ERROR if self._failure else Level.OK, self._failure or "unconfigured, no weights loaded"
            )
            return
        yield from (source.status() for source in self._sources)
        values = {"revision": worker.encoder.revision, "frames encoded": worker.encoded, "last pass [s]": worker.last_pass}
        state = "active" if worker.active else "inactive, weights loaded"
        yield Status("encoder", Level.ERROR if worker.fault else Level.OK, worker.fault or state, values)


def _shipped_model() -> Path:
    # Imported here: it brings the LLM's libraries, which a process with only an encoder in it can do without.
    from ..model import default_model

    return default_model()
