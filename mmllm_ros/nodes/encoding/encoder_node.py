# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Base class of the encoder nodes: subscribes to sensors, publishes health always and tokens while active."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.task import Future

from ...config import EncoderConfig
from ...datatypes import BadInput, Health, Tokens, one_line
from ...encoders import Encoder, load_encoder
from ...encoders.of_rig import rig_encoders
from ...latent.manifest import Manifest
from ...msg import ModalityPlan, SensorHealth, SensorTokens
from ...resources import model_folder
from ...rig import Rig, load_rig
from ...srv import Encode
from ..ros_support import qos
from ..ros_support.clock_jumps import on_jump_back
from ..ros_support.diagnostics import Diagnostics, Level, Status
from ..ros_support.lifecycle_node import SafeLifecycleNode
from ..ros_support.messages import health_to_message, tokens_to_message
from ..ros_support.parameters import declare
from ..ros_support.sensor_topics import FOLLOW_PERIOD, encoder_name
from .encoder_worker import EncoderWorker
from .sensor_source import SensorSource

ENCODE_TIMEOUT = 1.0
"""Longest time for an encode request that gives no timeout [s]."""

MAX_ENCODE_TIMEOUT = 60.0
"""An encode request with a longer timeout [s] is refused."""


class EncoderNode(SafeLifecycleNode, ABC):
    """configure loads the weights and starts to measure health, activate starts to encode, cleanup frees the weights.

    `encode_rate_share` is the share of the encoding rate that the plan allows, 0 = encode only on request (service ~/encode).
    """

    modality: ClassVar[str]

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(encoder_name(self.modality), **node_arguments)
        self.config = declare(self, EncoderConfig, self._on_config)
        self.rig = load_rig(self.config.rig)
        self.encode_rate_share = 1.0
        self._worker: EncoderWorker | None = None
        self._sources: list[SensorSource] = []
        self._failure = ""
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        # Depth: one message per source, so that a slow subscriber gets the newest message of each.
        self._tokens = self.create_publisher(SensorTokens, "mmllm/tokens", QoSProfile(depth=max(1, self.sensors(self.rig))))
        self._health = self.create_publisher(SensorHealth, "mmllm/health", qos.RELIABLE)
        self.create_service(Encode, "~/encode", self._on_encode, callback_group=ReentrantCallbackGroup())
        self.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self._diagnostics = Diagnostics(self, self._statuses)
        self._follow_timer = self.create_timer(FOLLOW_PERIOD, self._follow, clock=self._steady)
        on_jump_back(self, self._on_jump)

    @staticmethod
    @abstractmethod
    def sensors(rig: Rig) -> int:
        """Number of sensors of this modality in the rig."""

    @abstractmethod
    def make_sources(self) -> list[SensorSource]:
        """Subscribe to the sensors of the rig."""

    def publish_tokens(self, source: SensorSource, tokens: Tokens) -> None:
        """Publish the tokens of one frame."""
        self._tokens.publish(tokens_to_message(tokens, source.frame_id))

    def publish_health(self, source: SensorSource, health: Health) -> None:
        """Publish the health of one sensor."""
        self._health.publish(health_to_message(health, source.frame_id))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            if not self.sensors(self.rig):
                raise BadInput(f"rig {self.rig.name} has no {self.modality}")
            encoder = self._load()
            self._sources = self._sources or self.make_sources()
            self._worker = EncoderWorker(self, encoder, self._sources)
        except Exception as error:  # rclpy drops the exception of a transition, so it is logged and reported here
            self._failure = f"not configured: {one_line(error)}"
            details = "" if isinstance(error, BadInput) else f"\n{traceback.format_exc()}"
            self.get_logger().error(f"{self._failure}{details}")
            return TransitionCallbackReturn.FAILURE
        self._failure = ""
        self.get_logger().info(f"ready: {self.modality} encoder {encoder.revision} for {self.sensors(self.rig)} sensors")
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
        self._failure = "shut down by a lifecycle transition: start the process again"
        self.get_logger().warning(self._failure)
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        self._release()
        super().destroy_node()

    def _load(self) -> Encoder:
        """The encoder that the rig names, else that of the configured model. Raises BadInput where its revision is not the
        one the model was trained with."""
        torch.set_num_threads(self.config.threads)
        if named := rig_encoders(self.rig).get(self.modality):
            return load_encoder(named, self.rig, self.config.device)
        folder = model_folder(self.config.model)
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

    async def _on_encode(self, request: Encode.Request, response: Encode.Response) -> Encode.Response:
        """Awaits the worker without blocking the executor."""
        if not 0.0 <= request.timeout <= MAX_ENCODE_TIMEOUT:  # rclpy ends the process where it can make no timer of it
            response.message = f"timeout is {request.timeout} s, not between 0 and {MAX_ENCODE_TIMEOUT:g}"
            return response
        if (worker := self._worker) is None:
            response.message = "the weights are not loaded"
            return response
        outcome = Future()
        # Setting a future does not wake an rclpy executor, and a sleeping executor does not look at it.
        outcome.add_done_callback(lambda _: self.executor.wake())
        worker.encode_now(outcome.set_result)
        timer = self.create_timer(
            request.timeout or ENCODE_TIMEOUT,
            lambda: outcome.set_result(None),
            callback_group=MutuallyExclusiveCallbackGroup(),  # a group never forgets its timers
            clock=self._steady,
        )
        encoded = await outcome
        self.destroy_timer(timer)
        if not encoded:
            response.message = "no frame has arrived yet" if encoded == [] else "the encoder is busy"
            return response
        response.tokens = [tokens_to_message(tokens, source.frame_id) for source, tokens in encoded]
        response.success = True
        return response

    def _follow(self) -> None:
        """Subscribe to the sensors that have appeared, or changed topic or type."""
        for source in self._sources:
            source.topic.follow()

    def _on_plan(self, plan: ModalityPlan) -> None:
        share = plan.encode_rate_share if 0.0 <= plan.encode_rate_share <= 1.0 else 1.0
        if share != self.encode_rate_share:
            self.encode_rate_share = share
            self._wake()

    def _on_config(self, config: EncoderConfig) -> None:
        self.config = config
        self._wake()

    def _wake(self) -> None:
        if self._worker:
            self._worker.wake()

    def _on_jump(self) -> None:
        if self._worker:
            self._worker.clear()

    def _statuses(self) -> Iterator[Status]:
        worker = self._worker
        if worker is None:
            level = Level.ERROR if self._failure else Level.OK
            yield Status("encoder", level, self._failure or "unconfigured, no weights loaded")
            return
        yield from (source.status() for source in self._sources)
        values = {
            "revision": worker.encoder.revision,
            "frames encoded": worker.encoded,
            "last pass [s]": worker.last_pass,
            "cost of a frame [s]": worker.cost,
            "encode rate share": self.encode_rate_share,
        }
        state = "active" if worker.active else "inactive, weights loaded"
        yield Status("encoder", Level.ERROR if worker.fault else Level.OK, worker.fault or state, values)
