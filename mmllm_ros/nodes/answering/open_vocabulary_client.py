# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Client of the camera_encoder's service ask, which answers about things of any name by a zero-shot detector."""

from __future__ import annotations

from rclpy.node import Node

from ...datatypes import Answer, BadInput
from ...srv import Ask
from ..ros_support.messages import answer_from_message
from ..ros_support.sensor_topics import encoder_name
from .pending_call import PendingCall


class OpenVocabularyClient:
    """Called from the worker's thread with a question and a time [s]; returns None where there is no answer within that time."""

    def __init__(self, node: Node) -> None:
        self._log = node.get_logger()
        self._client = node.create_client(Ask, f"{encoder_name('camera')}/ask")

    def __call__(self, question: str, seconds: float) -> Answer | None:
        if not self._client.service_is_ready():
            return None
        try:
            response = PendingCall(self._client, Ask.Request(question=question, timeout=seconds)).response(seconds)
        except TimeoutError:
            self._log.warning(f"the zero-shot detector did not answer within {seconds:g} s", throttle_duration_sec=5.0)
            return None
        if response is None or not response.success:
            self._log.info(f"no answer of the zero-shot detector: {response.message if response else 'no response'}")
            return None
        try:
            return answer_from_message(response.answer)
        except BadInput as error:
            self._log.warning(f"answer of the zero-shot detector rejected: {error}")
            return None
