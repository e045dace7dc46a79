# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All conversions between messages and datatypes, see sensor_messages.py, messages_in.py and messages_out.py."""

from __future__ import annotations

from .messages_in import answer_from_message, health_from_message, plan_from_message, tokens_from_message
from .messages_out import BASE_FRAME, answer_to_message, header, health_to_message, plan_to_message, tokens_to_message
from .sensor_messages import frame_from_message, imu_from_message, stamp_from

__all__ = [
    "BASE_FRAME",
    "answer_from_message",
    "answer_to_message",
    "frame_from_message",
    "header",
    "health_from_message",
    "health_to_message",
    "imu_from_message",
    "plan_from_message",
    "plan_to_message",
    "stamp_from",
    "tokens_from_message",
    "tokens_to_message",
]
