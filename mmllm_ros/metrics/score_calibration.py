# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration of scores by least cross-entropy: temperature scaling and Platt scaling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

PRIOR = 0.25
"""Standard deviation of the logarithm of a temperature before any answer is seen."""


def best_scale(log_odds: Tensor, true: Tensor) -> tuple[float, float]:
    """Factor and shift of least cross-entropy for `log_odds` [n] of what is `true` [n], 1 or 0 (Platt scaling)."""
    scale, shift = (log_odds.new_full((), start).requires_grad_() for start in (1.0, 0.0))
    _minimise(lambda: functional.binary_cross_entropy_with_logits(scale * log_odds + shift, true), scale, shift)
    return scale.item(), shift.item()


def best_temperature(log_probabilities: Tensor, correct: Tensor, scenes: int = 0) -> float:
    """Temperature of least cross-entropy over log-probabilities [n, answers] (temperature scaling, arXiv 1706.04599).

    With `scenes` the answers count as that many independent ones, against a prior of the temperature about 1 (PRIOR): answers
    about one scene are right or wrong together, so a few scenes say little.
    """
    log_temperature = torch.zeros((), dtype=log_probabilities.dtype, requires_grad=True)

    def loss() -> Tensor:
        value = functional.cross_entropy(log_probabilities / log_temperature.exp(), correct)
        return value + (log_temperature / PRIOR).square() / (2 * scenes) if scenes else value

    _minimise(loss, log_temperature)
    return log_temperature.exp().item()


@torch.enable_grad()
def _minimise(loss: Callable[[], Tensor], *parameters: Tensor) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
