# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration of the confidence: one temperature for the answers' probabilities, fitted on held-out scenes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..datasets.examples import Example, modality_sets
from ..metrics.score_calibration import best_temperature
from ..model import Model


def calibrate(model: Model, asked: Sequence[Example]) -> float:
    """Set `model.temperature` to the one of least cross-entropy over `asked`, with the modality sets in turn."""
    model.temperature = 1.0
    sets = modality_sets(model.modalities)
    rows, correct = [], []
    for index, moment in enumerate(asked):
        # Every second frame has all modalities, the usual case on a robot.
        plugged = sets[-1] if index % 2 else sets[index // 2 % len(sets)]
        latent_cache = model.latents([tokens for tokens in moment.tokens if tokens.modality in plugged])
        for question in moment.questions:
            distribution = model.score(question.question, latent_cache).distribution
            rows.append([distribution[answer] for answer in model.answers])
            correct.append(model.answers.index(question.answer))
    log_probabilities = torch.from_numpy(np.log(np.maximum(rows, 1e-12)))
    model.temperature = best_temperature(log_probabilities, torch.tensor(correct))
    return model.temperature
