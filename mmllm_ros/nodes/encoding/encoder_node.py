# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The base of the encoder nodes: sensor topics in, tokens while active and health always out."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from ...config import EncoderConfig
from ...datatypes import BadInput, Health, Tokens
from ...msg import ModalityPlan, SensorHealth, SensorTokens
from ...rig import Rig, load_rig
from ..ros_support import qos
from ..ros_support.clock_jumps import on_jump_back
from ..ros_support.diagnostics import Diagnostics, Level, Status
from ..ros_support.lifecycle_node import SafeLifecycleNode
from ..ros_support.messages import health_to_message, tokens_to_message
from ..ros_support.parameters import declare
from .encode_service import EncodeService
from .encoder_runner import Encoding, load
from .encoder_worker import EncoderWorker
from .sensor_source import SensorSource


class EncoderNode(SafeLifecycleNode, ABC):
    """configure loads the weights and starts to measure health, activate starts to encode, cleanup frees the weights."""

    modality: ClassVar[str]

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(f"{self.modality}_encoder", **node_arguments)
        self.config = declare(self, EncoderConfig, self._on_config)
        self.rig = load_rig(self.config.rig)
        self._worker: EncoderWorker | None = None
        self._sources: list[SensorSource] = []
        self._failure = ""
        self._duty = 1.0
        # One message per source: a slow reader gets the newest of each, not a queue.
        self._tokens = self.create_publisher(SensorTokens, "mmllm/tokens", QoSProfile(depth=max(1, self.sensors(self.rig))))
        self._health = self.create_publisher(SensorHealth, "mmllm/health", qos.RELIABLE)
        self._service = EncodeService(self, lambda: self._worker)
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
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
            if not self.sensors(self.rig):
                raise BadInput(f"rig {self.rig.name} has no {self.modality}")
            encoder = load(self.config, self.modality, self.rig)
            self._sources = self._sources or self.make_sources()
            encoding = Encoding(encoder, self._sources, self._on_tokens)
        except Exception as error:  # rclpy swallows what a transition raises, and whoever asked needs the reason
            self._failure = f"not configured: {error}"
            self.get_logger().error(f"{self._failure}\n{traceback.format_exc()}")
            return TransitionCallbackReturn.FAILURE
        self._failure = ""
        self._worker = EncoderWorker(self, encoding, self._sources, lambda: self.config, self._on_health, self._duty)
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

    def _release(self) -> None:
        worker, self._worker = self._worker, None
        if worker:
            worker.stop()

    def _on_tokens(self, source: SensorSource, tokens: Tokens) -> None:
        self._tokens.publish(tokens_to_message(tokens, source.frame_id))

    def _on_health(self, source: SensorSource, health: Health) -> None:
        self._health.publish(health_to_message(health, source.frame_id))

    def _on_plan(self, plan: ModalityPlan) -> None:
        self._duty = plan.duty if 0.0 <= plan.duty <= 1.0 else 1.0
        if self._worker and self._worker.duty != self._duty:
            self._worker.duty = self._duty
            self._worker.hurry()

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
        work = worker.encoding
        values = {"revision": work.encoder.revision, "frames encoded": work.encoded, "last pass [s]": work.last_pass}
        values |= {"cost of a frame [s]": work.cost, "duty": worker.duty}
        state = "active" if worker.active else "inactive, weights loaded"
        yield Status("encoder", Level.ERROR if worker.fault else Level.OK, worker.fault or state, values)
