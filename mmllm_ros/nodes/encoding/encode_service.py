# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The service of an encoder node that encodes the newest frames when asked, without holding the executor."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from ...srv import Encode
from ..ros_support.messages import tokens_to_message
from .encoder_worker import EncoderWorker

PATIENCE = 1.0
"""A caller that does not say how long it will wait waits so long [s]."""


class EncodeService:
    """`~/encode` of `node`, whose worker encodes; None = the weights are not loaded."""

    def __init__(self, node: Node, worker: Callable[[], EncoderWorker | None]) -> None:
        self._node = node
        self._worker = worker
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_service(Encode, "~/encode", self._on_encode, callback_group=ReentrantCallbackGroup())

    async def _on_encode(self, request: Encode.Request, response: Encode.Response) -> Encode.Response:
        if (worker := self._worker()) is None:
            response.message = "the weights are not loaded"
            return response
        outcome = Future()
        # Setting a future does not wake an rclpy executor, and one that sleeps never looks at it.
        outcome.add_done_callback(lambda _: self._node.executor.wake())
        worker.encode_now(outcome.set_result)
        timer = self._node.create_timer(request.timeout or PATIENCE, lambda: outcome.set_result(None), clock=self._steady)
        found = await outcome
        self._node.destroy_timer(timer)
        if not found:
            response.message = "no frame has arrived yet" if found == [] else "the encoder is busy"
            return response
        response.tokens = [tokens_to_message(tokens, source.frame_id) for source, tokens in found]
        response.success = True
        return response
