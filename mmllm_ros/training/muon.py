# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Muon optimizer: the update of a matrix is its orthogonalized momentum (Jordan et al., 2024).

torch's own Muon computes in bfloat16 everywhere; here a CPU does so only where it has such products.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..device import half_products

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
MOMENTUM = 0.95
SIZE = 0.2
"""Root mean square of an update in units of the learning rate, as for AdamW (arXiv 2502.16982, section 2.2)."""


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices [n, rows, columns] with all singular values near one, by five quintic Newton-Schulz iterations."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    if x.device.type == "cpu" and half_products():
        x = x.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        square = x @ x.transpose(1, 2)
        x = a * x + (b * square + c * square @ square) @ x
    return (x.transpose(1, 2) if tall else x).to(matrices.dtype)


class Muon(Optimizer):
    """Muon for weights of two or more dimensions; those of a convolution are a matrix with one row per output channel."""

    def __init__(self, params: Iterable, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every weight that has a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 1 - MOMENTUM)
                ahead = weight.grad.lerp(momentum, MOMENTUM).flatten(1)
                alike[ahead.shape].append((weight, ahead))
            for shape, pairs in alike.items():
                updates = orthogonal(torch.stack([ahead for _, ahead in pairs])) * (SIZE * max(shape) ** 0.5)
                for (weight, _), update in zip(pairs, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.view_as(weight), alpha=-group["lr"])
