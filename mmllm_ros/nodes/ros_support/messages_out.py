# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Datatypes -> the package's own messages."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from ...datatypes import NANOSECONDS, Answer, Health, Plan, Tokens
from ...msg import Answer as AnswerMessage
from ...msg import Evidence as EvidenceMessage
from ...msg import ModalityPlan, SensorHealth, SensorTokens

BASE_FRAME = "base_link"


def header(stamp: int, frame_id: str) -> Header:
    """A header of `stamp` nanoseconds."""
    return Header(stamp=Time(sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS), frame_id=frame_id)


def tokens_to_message(tokens: Tokens, frame_id: str = "") -> SensorTokens:
    """With the stamp and the `frame_id` of the sensor message."""
    count, width = tokens.values.shape
    return SensorTokens(
        header=header(tokens.stamp, frame_id),
        modality=tokens.modality,
        source=tokens.source,
        encoder=tokens.encoder,
        count=count,
        width=width,
        values=_numbers(tokens.values),
        places=_numbers(tokens.places),
    )


def health_to_message(health: Health, frame_id: str = "") -> SensorHealth:
    """`frame_id` is that of the sensor, empty before its first message."""
    return SensorHealth(
        header=header(health.stamp, frame_id),
        modality=health.modality,
        source=health.source,
        rate=health.rate,
        age=health.age,
        jitter=health.jitter,
        rejected=health.rejected,
        healthy=health.healthy,
        reason=health.reason,
        cost=health.cost,
        signal_names=list(health.signals),
        signal_values=list(health.signals.values()),
    )


def plan_to_message(plan: Plan) -> ModalityPlan:
    """Modalities in the order of `plan.plugged`."""
    return ModalityPlan(
        header=header(plan.stamp, BASE_FRAME),
        context=plan.context,
        modalities=list(plan.plugged),
        plugged=list(plan.plugged.values()),
        reasons=[plan.reasons.get(modality, "") for modality in plan.plugged],
        linked_blocks=plan.linked_blocks,
        cost=plan.cost,
        budget=plan.budget,
        flops=plan.flops,
        flops_budget=plan.flops_budget,
        available=list(plan.available),
        encode_rate_share=plan.encode_rate_share,
    )


def answer_to_message(answer: Answer, sensor_frames: Mapping[tuple[str, str], str] | None = None) -> AnswerMessage:
    """`sensor_frames` maps (modality, source) to the frame_id of the evidence; a missing one stays empty."""
    known = sensor_frames or {}
    return AnswerMessage(
        header=header(answer.stamp, BASE_FRAME),
        question_id=answer.question_id,
        question=answer.question,
        answer=answer.answer,
        confidence=answer.confidence,
        evidence=[
            EvidenceMessage(
                header=header(item.stamp, known.get((item.modality, item.source), "")),
                modality=item.modality,
                source=item.source,
                age=item.age,
                note=item.note,
            )
            for item in answer.evidence
        ],
        unplugged=list(answer.unplugged),
        reasons=list(answer.unplugged.values()),
        latency=answer.latency,
        model=answer.model,
        revision=answer.revision,
    )


def _numbers(values: np.ndarray) -> array:
    # rclpy accepts array('f') unchecked; it checks any other type number by number.
    numbers = array("f")
    numbers.frombytes(np.ascontiguousarray(values, np.float32).tobytes())
    return numbers
