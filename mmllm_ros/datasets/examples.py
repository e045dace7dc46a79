# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Examples: the tokens of one moment with questions and true answers, whatever they come from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..datatypes import Frame, Health, Question, Tokens
from ..encoders import Encoder
from ..io.frame_history import FrameHistory


@dataclass(frozen=True, slots=True)
class Example:
    """One moment of one scene: its tokens and the questions about it. `context` is the name of light and weather.

    `pictures` are small JPEGs by kind (visualization/thumbnails.py), `healths` what the encoder nodes report of the sensors.
    """

    scene: str
    context: str
    tokens: tuple[Tokens, ...]
    questions: tuple[Question, ...]
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    healths: tuple[Health, ...] = ()


def encode_pairs(encoders: Mapping[str, Encoder], frames: Sequence[Frame], before: Sequence[Frame]) -> tuple[Tokens, ...]:
    """The tokens of simultaneous frames, each with the earlier frame of its source where there is one."""
    histories = {frame.source: FrameHistory() for frame in (*frames, *before)}
    for frame in before:
        histories[frame.source].pair(frame)
    pairs = [histories[frame.source].pair(frame) for frame in frames]
    return encode(encoders, pairs)


def encode(encoders: Mapping[str, Encoder], pairs: Sequence[tuple[Frame, Frame | None]]) -> tuple[Tokens, ...]:
    """The tokens of frames of any modality, each given with the frame before it; all frames of a modality in one pass."""
    kinds = {modality: [pair for pair in pairs if pair[0].modality == modality] for modality in encoders}
    return tuple(tokens for modality, chosen in kinds.items() for tokens in encoders[modality].encode(chosen))


def modality_sets(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Every set of modalities, the empty one first and the full one last."""
    ordered = sorted(modalities)
    return [chosen for size in range(len(ordered) + 1) for chosen in itertools.combinations(ordered, size)]
