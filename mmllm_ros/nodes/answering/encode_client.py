# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Asks encoder nodes for the newest frames of modalities that a question needs; for the thread that answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

from ...datatypes import MODALITIES
from ...msg import SensorTokens
from ...srv import Encode


class EncodeClient:
    """Calls `<modality>_encoder/encode` of every modality at once; `on_tokens` gets what comes back in time."""

    def __init__(self, node: Node, on_tokens: Callable[[SensorTokens], None]) -> None:
        self._log = node.get_logger()
        self._on_tokens = on_tokens
        self._clients = {modality: node.create_client(Encode, f"{modality}_encoder/encode") for modality in MODALITIES}

    def __call__(self, modalities: Sequence[str], seconds: float) -> None:
        """Return when all have answered, or after so many seconds. An encoder that is not there is not waited for."""
        deadline = time.monotonic() + seconds
        ready = [modality for modality in modalities if modality in self._clients and self._clients[modality].service_is_ready()]
        for modality, client, future, arrived in [self._call(modality, seconds) for modality in ready]:
            if not arrived.wait(max(0.0, deadline - time.monotonic())):
                client.remove_pending_request(future)
                self._log.warning(f"{modality} was not encoded within {seconds:g} s", throttle_duration_sec=5.0)
            elif (response := future.result()) and response.success:
                for message in response.tokens:
                    self._on_tokens(message)

    def _call(self, modality: str, seconds: float) -> tuple[str, Client, Future, threading.Event]:
        client, arrived = self._clients[modality], threading.Event()
        future = client.call_async(Encode.Request(timeout=seconds))
        future.add_done_callback(lambda _: arrived.set())
        return modality, client, future, arrived
