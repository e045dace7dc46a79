# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""mmllm/tokens on their way to the assistant: what it refuses is said and remembered; a lesson may need that as well."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from ...assistant import Assistant
from ...datatypes import BadInput, Tokens
from ...msg import SensorTokens
from ..ros_support import qos
from ..ros_support.messages import tokens_from_message


class TokenSubscriber:
    """Hears tokens on `node`.

    Args:
        node: whose log gets a line for what is refused.
        assistant: the assistant now, None while the model loads.
        keep: gets all tokens that can be read, also those that the assistant does not know.

    `refused` says why, and `frames` names the frame of what is in use, both by (modality, source).
    """

    def __init__(self, node: Node, assistant: Callable[[], Assistant | None], keep: Callable[[Tokens], None]) -> None:
        self.refused: dict[tuple[str, str], str] = {}
        self.frames: dict[tuple[str, str], str] = {}
        self._log, self._assistant, self._keep = node.get_logger(), assistant, keep
        node.create_subscription(SensorTokens, "mmllm/tokens", self.put, qos.RELIABLE)

    def put(self, message: SensorTokens) -> None:
        """Hand tokens on."""
        if (assistant := self._assistant()) is None:
            return
        source = (message.modality, message.source)
        try:
            tokens = tokens_from_message(message)
            self._keep(tokens)
            assistant.put(tokens)
        except BadInput as error:
            self.refused[source] = str(error)
            self._log.warning(f"tokens refused: {error}", throttle_duration_sec=5.0)
        else:
            self.refused.pop(source, None)
            self.frames[source] = message.header.frame_id
