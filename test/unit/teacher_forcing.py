# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions a row each, as simply as can be: what packed rows must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from mmllm_ros.training.packing import padded


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions in rows: `ids` [B, S] with the answer's tokens but the last, and what is to be predicted where.

    `places` [B, n] are the positions whose next token counts, `targets` [B, n] that token, -100 beyond a row's answer.
    """

    ids: Tensor
    places: Tensor
    targets: Tensor


def lay_out(questions: Sequence[tuple[list[int], list[int]]], pad: int) -> Asked:
    """Prompts and answers, as teacher forcing reads them. Causal attention never sees the filling on the right."""
    ids = padded([[*prompt, *answer[:-1]] for prompt, answer in questions], pad)
    places = padded([range(len(prompt) - 1, len(prompt) - 1 + len(answer)) for prompt, answer in questions], 0)
    return Asked(ids, places, padded([answer for _, answer in questions], -100))


def answer_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """Cross-entropy per question from logits [B, n, vocabulary], and the share of questions whose every token was right."""
    value = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100, reduction="sum")
    right = ((logits.argmax(-1) == targets) | (targets < 0)).all(-1)
    return value / len(targets), right.float().mean().item()
