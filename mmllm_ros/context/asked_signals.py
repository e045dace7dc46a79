# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which signals of the universal encoder a question names, and which of them show what a camera, a lidar or an IMU shows."""

from __future__ import annotations

import re
from collections.abc import Iterable

SIMILAR = {
    "camera": ("image", "video", "depth", "normals"),
    "lidar": ("points", "depth", "normals", "array"),
    "imu": ("video",),
}
"""Signals that can tell much of what a sensor tells, by the modality of the sensor."""

_NAMED = (
    (
        ("audio",),
        r"\b(hear|heard|hearing|sirens?|horns?|honk\w*|beep\w*|backup alarm|loudest|noise|windy)\b|\bby (ear|the sound)\b",
    ),
    (("audio",), r"\bsounds? (like|as if)\b|\bby the sound\b|\b(sound|sounds) stands? out\b|\braindrops\b"),
    (("points", "lidar"), r"\bby the laser\b|^laser:|\blaser (points?|echo(es)?)\b"),
    (("imu",), r"^imu:|\bby the inertial sensor\b|\b(do|can) you feel\b|\bfeels? (like|as if)\b"),
    (("video", "camera"), r"^video:|\b(in|by|over|does) the (clip|video)\b"),
    (("image", "camera"), r"^picture:|\b(in|does) (the|this) (picture|photo|image)\b"),
    (("normals", "depth", "camera"), r"\bsurface\b.*\b(camera|view|ahead)\b|\bsurface ahead\b"),
    (("depth", "camera", "lidar"), r"\bin front of the camera\b"),
)
_ABOUT_A_SENSOR = re.compile(r"\b(work|works|working|broken|ok|okay|healthy|plugged|muted|faulty|fault)\b")
_PATTERNS = tuple((modalities, re.compile(pattern)) for modalities, pattern in _NAMED)


def asked_signals(question: str) -> tuple[str, ...]:
    """The modalities that a question names by what they show ("do you hear ...", "by the laser"), empty where it names none.

    A question about the state of a sensor ("is the microphone working?") names none.
    """
    text = question.lower().strip()
    if _ABOUT_A_SENSOR.search(text):
        return ()
    return next((modalities for modalities, pattern in _PATTERNS if pattern.search(text)), ())


def with_similar(modalities: Iterable[str]) -> tuple[str, ...]:
    """The modalities, and the signals that can stand in for them."""
    return tuple(dict.fromkeys((*modalities, *(name for one in modalities for name in SIMILAR.get(one, ())))))
