# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Client of the encode services: requests tokens of the newest frames of the modalities that a question needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from rclpy.node import Node

from ...msg import SensorTokens
from ...srv import Encode
from ..ros_support.sensor_topics import encoder_name
from .pending_call import PendingCall


class EncodeClient:
    """Calls the service `encode` of several encoders at once, from the worker's thread; `on_tokens` gets the tokens."""

    def __init__(self, node: Node, modalities: Iterable[str], on_tokens: Callable[[SensorTokens], None]) -> None:
        self._log = node.get_logger()
        self._on_tokens = on_tokens
        self._clients = {modality: node.create_client(Encode, f"{encoder_name(modality)}/encode") for modality in modalities}

    def __call__(self, modalities: Sequence[str], seconds: float) -> None:
        """Return when all encoders have responded, or after `seconds` [s]. An encoder without a service is skipped."""
        deadline = time.monotonic() + seconds
        ready = [modality for modality in modalities if modality in self._clients and self._clients[modality].service_is_ready()]
        calls = {modality: PendingCall(self._clients[modality], Encode.Request(timeout=seconds)) for modality in ready}
        for modality, call in calls.items():
            try:
                response = call.response(deadline - time.monotonic())
            except TimeoutError:
                self._log.warning(f"{modality} was not encoded within {seconds:g} s", throttle_duration_sec=5.0)
                continue
            if response and response.success:
                for message in response.tokens:
                    self._on_tokens(message)
