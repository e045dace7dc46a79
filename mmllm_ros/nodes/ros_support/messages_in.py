# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package's own messages -> datatypes. An inconsistent message raises BadInput, one line that names the value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...datatypes import Answer, BadInput, Evidence, Health, Plan, Tokens
from ...io import frames
from ...msg import Answer as AnswerMessage
from ...msg import ModalityPlan, SensorHealth, SensorTokens
from .sensor_messages import stamp_from

MAX_ENTRIES = 256
"""A message with a longer list of names is rejected."""

MAX_NUMBERS = 4_000_000
"""A tokens message with more numbers is rejected."""


def tokens_from_message(message: SensorTokens) -> Tokens:
    """Raises BadInput unless the numbers are finite and as many as stated."""
    count, width = message.count, message.width
    sizes = {"values": (len(message.values), count * width), "places": (len(message.places), 3 * count)}
    for name, (given, stated) in sizes.items():
        if given != stated or stated > MAX_NUMBERS:
            raise BadInput(
                f"tokens of {message.modality} {message.source!r} hold {given} {name}, {count}x{width} tokens have {stated}"
            )
    values = np.array(message.values, np.float32).reshape(count, width)
    places = np.array(message.places, np.float32).reshape(count, 3)
    if not (np.isfinite(values).all() and np.isfinite(places).all()):
        raise BadInput(f"tokens of {message.modality} {message.source!r} hold numbers that are not finite")
    return Tokens(message.modality, message.source, stamp_from(message.header), values, places, message.encoder)


def health_from_message(message: SensorHealth) -> Health:
    """The stamp is 0 before the sensor's first message. Raises BadInput when names and values are not as many, or infinite."""
    what = f"health of {message.modality} {message.source!r}"
    _same_length(what, message.signal_names, message.signal_values)
    _finite(what, message, "rate", "age", "jitter", "cost")
    for name, value in zip(message.signal_names, message.signal_values, strict=True):
        if not math.isfinite(value):
            raise BadInput(f"{what} has signal {name!r} {value}, not a finite number")
    return Health(
        modality=message.modality,
        source=message.source,
        stamp=frames.stamp_of(message),
        rate=message.rate,
        age=message.age,
        jitter=message.jitter,
        rejected=message.rejected,
        signals=dict(zip(message.signal_names, message.signal_values, strict=True)),
        healthy=message.healthy,
        reason=message.reason,
        cost=message.cost,
    )


def plan_from_message(message: ModalityPlan) -> Plan:
    """Raises BadInput when the three lists are not equally long, or a number is not finite."""
    _same_length("plan", message.modalities, message.plugged, message.reasons)
    _finite("plan", message, "cost", "budget", "flops", "flops_budget", "encode_rate_share")
    return Plan(
        stamp=frames.stamp_of(message),
        plugged=dict(zip(message.modalities, message.plugged, strict=True)),
        reasons=dict(zip(message.modalities, message.reasons, strict=True)),
        context=message.context,
        linked_blocks=message.linked_blocks,
        cost=message.cost,
        budget=message.budget,
        flops=message.flops,
        flops_budget=message.flops_budget,
        available=tuple(message.available),
        encode_rate_share=message.encode_rate_share,
    )


def answer_from_message(message: AnswerMessage) -> Answer:
    """Raises BadInput when modalities and reasons are not as many, or a number is not finite."""
    _same_length("answer", message.unplugged, message.reasons)
    _finite("answer", message, "confidence", "latency")
    for item in message.evidence:
        _finite(f"evidence from {item.modality} {item.source!r}", item, "age")
    return Answer(
        stamp=frames.stamp_of(message),
        question_id=message.question_id,
        question=message.question,
        answer=message.answer,
        confidence=message.confidence,
        evidence=tuple(
            Evidence(item.modality, item.source, frames.stamp_of(item), item.age, item.note) for item in message.evidence
        ),
        unplugged=dict(zip(message.unplugged, message.reasons, strict=True)),
        latency=message.latency,
        model=message.model,
        revision=message.revision,
    )


def _finite(what: str, message: Any, *fields: str) -> None:
    for name in fields:
        if not math.isfinite(value := getattr(message, name)):
            raise BadInput(f"{what} has {name} {value}, not a finite number")


def _same_length(what: str, *lists) -> None:
    lengths = [len(items) for items in lists]
    if max(lengths) > MAX_ENTRIES:
        raise BadInput(f"{what} has a list of {max(lengths)} entries, at most {MAX_ENTRIES} are allowed")
    if len(set(lengths)) > 1:
        raise BadInput(f"{what} has lists of {', '.join(map(str, lengths))} entries that belong together")
