# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A request to a service of another node, awaited in the worker's thread while the executor spins in its own."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.client import Client


class PendingCall:
    """A request that has been sent to the service of `client`."""

    def __init__(self, client: Client, request: Any) -> None:
        self._client, self._arrived = client, threading.Event()
        self._future = client.call_async(request)
        self._future.add_done_callback(lambda _: self._arrived.set())

    def response(self, seconds: float) -> Any:
        """The response, None where the executor has been shut down. Raises TimeoutError where none comes within `seconds` [s]."""
        if not self._arrived.wait(max(0.0, seconds)):
            self._client.remove_pending_request(self._future)
            raise TimeoutError(f"{self._client.srv_name} has not responded within {seconds:g} s")
        return self._future.result()
