# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration of the confidence of a model with the universal encoder: one temperature, fitted on validation scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...metrics.score_calibration import best_temperature
from ...model import Model
from ..connectors import TokenTable
from .alignment import templates_of
from .questions import Asked, connect

LEAST = 1e-12
"""Smaller probabilities are raised to this one before the logarithm."""


def calibrate(model: Model, tables: Mapping[str, TokenTable], asked: Sequence[Asked]) -> float:
    """Set `model.temperature` to the one of least cross-entropy over `asked`.

    Every second question has all modalities connected, the others only what answers them.
    """
    model.temperature = 1.0
    whole = log_probabilities(model, tables, asked[::2], everything=True)
    alone = log_probabilities(model, tables, asked[1::2], everything=False)
    correct = [model.answers.index(one.answer) for one in (*asked[::2], *asked[1::2])]
    model.temperature = best_temperature(torch.cat([whole, alone]), torch.tensor(correct))
    return model.temperature


@torch.inference_mode()
def log_probabilities(model: Model, tables: Mapping[str, TokenTable], asked: Sequence[Asked], everything: bool) -> Tensor:
    """Float64 [questions, answers of the model], with all modalities connected, or with those that answer the question."""
    rows = []
    for one in asked:
        connected = [name for name in tables if everything or one.template in templates_of(name)]
        distribution = model.score(
            one.wording, connect(model.connectors, tables, torch.tensor([one.row]), connected)
        ).distribution
        rows.append([distribution[answer] for answer in model.answers])
    return torch.from_numpy(np.log(np.maximum(rows, LEAST)))


def spread_over_scenes(asked: Sequence[Asked], count: int, seed: int) -> list[Asked]:
    """At most `count` of `asked`, spread evenly over the scenes, drawn at random in each."""
    order = np.random.default_rng(seed).permutation(len(asked))
    by_scene: dict[int, list[Asked]] = {}
    for index in order:
        by_scene.setdefault(asked[index].row, []).append(asked[index])
    rounds = max(map(len, by_scene.values()), default=0)
    return [members[turn] for turn in range(rounds) for members in by_scene.values() if turn < len(members)][:count]
