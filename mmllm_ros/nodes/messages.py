# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every conversion between messages and datatypes. A message that cannot be right is BadInput, one line that names the value."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2
from std_msgs.msg import Header

from .. import frames
from ..datatypes import NANOSECONDS, Answer, BadInput, CameraFrame, Evidence, Health, LidarScan, Plan, Tokens
from ..decoding import check_cloud, check_image
from ..msg import Answer as AnswerMessage
from ..msg import Evidence as EvidenceMessage
from ..msg import ModalityPlan, SensorHealth, SensorTokens
from ..rig import CameraMount, ImuMount, LidarMount
from .bridges import cloud_by_bridge, image_by_bridge

BASE_FRAME = "base_link"
MAX_NUMBERS = 4_000_000
"""More numbers than this in one tokens message are refused."""


def stamp_from(header: Header) -> int:
    """Nanoseconds. Raises BadInput for a zero stamp: a driver that does not set it makes every age meaningless."""
    stamp = header.stamp.sec * NANOSECONDS + header.stamp.nanosec
    if stamp <= 0:
        raise BadInput(
            f"stamp is {header.stamp.sec}.{header.stamp.nanosec:09d}: the driver of {header.frame_id!r} does not set it"
        )
    return stamp


def header(stamp: int, frame_id: str) -> Header:
    """A header of `stamp` nanoseconds."""
    return Header(stamp=Time(sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS), frame_id=frame_id)


def frame_from_message(
    message: Image | CompressedImage | PointCloud2, source: str, mount: CameraMount | LidarMount
) -> CameraFrame | LidarScan:
    """A camera or lidar message -> frame, in the axes of the rig. Raises BadInput."""
    stamp = stamp_from(message.header)
    if isinstance(message, Image):
        check_image(message.data, message.height, message.width, message.encoding, message.step)
        image = image_by_bridge(message)
        return frames.camera_frame(message, source) if image is None else CameraFrame(stamp, source, image)
    if isinstance(message, CompressedImage):
        return frames.camera_frame(message, source)
    size = message.point_step, message.row_step, message.height, message.width
    check_cloud(message.data, message.fields, *size)
    points = cloud_by_bridge(message)
    if points is None:
        return frames.lidar_scan(message, source, mount)
    return LidarScan(stamp, source, frames.from_lidar(points, mount))


def imu_from_message(message: Imu, mount: ImuMount) -> tuple[int, np.ndarray]:
    """Stamp [ns] and float32 [6] as in ImuWindow. Raises BadInput."""
    return stamp_from(message.header), frames.imu_sample(message, mount)


def tokens_to_message(tokens: Tokens, frame_id: str = "") -> SensorTokens:
    """With the header of the sensor's own message: its stamp, and its `frame_id`."""
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


def health_to_message(health: Health, frame_id: str = "") -> SensorHealth:
    """`frame_id` is the sensor's own, empty before its first message."""
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
        signal_names=list(health.signals),
        signal_values=list(health.signals.values()),
    )


def health_from_message(message: SensorHealth) -> Health:
    """The stamp is 0 before the sensor's first message. Raises BadInput when names and values are not as many."""
    _same_length(f"health of {message.modality} {message.source!r}", message.signal_names, message.signal_values)
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
    )


def plan_from_message(message: ModalityPlan) -> Plan:
    """Raises BadInput when the three lists are not equally long."""
    _same_length("plan", message.modalities, message.plugged, message.reasons)
    return Plan(
        stamp=frames.stamp_of(message),
        plugged=dict(zip(message.modalities, message.plugged, strict=True)),
        reasons=dict(zip(message.modalities, message.reasons, strict=True)),
        context=message.context,
        linked_blocks=message.linked_blocks,
        cost=message.cost,
        budget=message.budget,
    )


def answer_to_message(answer: Answer, sensor_frames: Mapping[tuple[str, str], str] | None = None) -> AnswerMessage:
    """`sensor_frames` gives the frame_id of each (modality, source); one that is not known stays empty."""
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
            )
            for item in answer.evidence
        ],
        unplugged=list(answer.unplugged),
        reasons=list(answer.unplugged.values()),
        latency=answer.latency,
        model=answer.model,
        revision=answer.revision,
    )


def answer_from_message(message: AnswerMessage) -> Answer:
    """Raises BadInput when modalities and reasons are not as many."""
    _same_length("answer", message.unplugged, message.reasons)
    return Answer(
        stamp=frames.stamp_of(message),
        question_id=message.question_id,
        question=message.question,
        answer=message.answer,
        confidence=message.confidence,
        evidence=tuple(Evidence(item.modality, item.source, frames.stamp_of(item), item.age) for item in message.evidence),
        unplugged=dict(zip(message.unplugged, message.reasons, strict=True)),
        latency=message.latency,
        model=message.model,
        revision=message.revision,
    )


def _numbers(values: np.ndarray) -> array:
    # An array of the message's own type is taken as it is; anything else is checked number by number.
    numbers = array("f")
    numbers.frombytes(np.ascontiguousarray(values, np.float32).tobytes())
    return numbers


def _same_length(what: str, *lists) -> None:
    lengths = [len(items) for items in lists]
    if len(set(lengths)) > 1:
        raise BadInput(f"{what} has lists of {', '.join(map(str, lengths))} entries that belong together")
