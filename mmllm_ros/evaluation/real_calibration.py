# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Temperature and abstention from half of the real frames of each source, measured on the other half."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from ..datasets.simulated import Example
from ..metrics.score_calibration import best_temperature
from ..metrics.statistics import calibration_error, reliability
from ..model import Scored
from .familiarity import abstention, softened


def halves(asked: Sequence[Example]) -> list[int]:
    """0 or 1 for each moment: the frames of each source in turn."""
    counts: dict[str, int] = defaultdict(int)
    numbers = []
    for moment in asked:
        numbers.append(counts[moment.context] % 2)
        counts[moment.context] += 1
    return numbers


def calibrated_on_half(asked: Sequence[Example], scored: Sequence[Scored]) -> dict[str, float]:
    """Fit on the first half, measure on the second: "temperature", "abstain_below", "ece_before", "ece" and, of the answers above
    the threshold, "answered" and "right".

    `scored` has an answer for each question of `asked`, in order.
    """
    number = np.array([half for half, moment in zip(halves(asked), asked, strict=True) for _ in moment.questions])
    truths = [question.answer for moment in asked for question in moment.questions]
    right = np.array([item.answer == truth for item, truth in zip(scored, truths, strict=True)], dtype=float)
    fitted = [index for index in np.nonzero(number == 0)[0] if truths[index] in scored[index].distribution]
    rows = np.array([list(scored[index].distribution.values()) for index in fitted])
    correct = torch.tensor([list(scored[index].distribution).index(truths[index]) for index in fitted])
    temperature = best_temperature(torch.from_numpy(np.log(np.maximum(rows, 1e-12))), correct)
    sure = np.array([softened(item, temperature).confidence for item in scored])
    threshold = abstention(sure[number == 0], right[number == 0])
    held = number == 1
    answered = held & (sure >= threshold)
    return {
        "temperature": temperature,
        "abstain_below": threshold,
        "ece_before": calibration_error(reliability([scored[index].confidence for index in np.nonzero(held)[0]], right[held])),
        "ece": calibration_error(reliability(sure[held], right[held])),
        "answered": float(answered.sum() / max(held.sum(), 1)),
        "right": float(right[answered].mean()) if answered.any() else 0.0,
    }
