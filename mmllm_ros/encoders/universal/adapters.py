# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adapter-in-adapter (PathWeave, arXiv 2410.20178): low-rank changes of a frozen projection, one set for each modality.

In parallel with each linear layer of the projection's attention, modality m adds to the layer's output of x [..., inputs]

    sum over older modalities i of  g_i up_i(F_i(down_i(x)))   +   g_m scale_m up_m(down_m(x))

up_i and down_i are those of the adapter of i, frozen; F_i, an in-adapter of rank x rank, belongs to m and is kept with m. g is a
softmax over the paths, of down_m(x): a gate of all inputs would be a third of the parameters at a width of 192. So nothing that
an older modality uses is written when m trains.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

RANK = 4
"""Of the adapters: with it they are less than 2 % of a projection of width 192."""
NOISE_FLOOR = 0.01
"""Least standard deviation of the gate's noise in training."""


class Adapter(nn.Module):
    """A linear map of rank `rank`, x [..., inputs] -> [..., outputs], which is zero at initialization because `up` is."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)
        nn.init.zeros_(self.up.weight)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., inputs] -> [..., outputs]."""
        return self.lift(self.down(x))

    def lift(self, low: Tensor) -> Tensor:
        """The second half: low [..., rank] -> [..., outputs]."""
        return self.scale * self.up(low)


class PathGate(nn.Module):
    """Weights of `paths` paths for each token, a softmax; even at initialization."""

    def __init__(self, inputs: int, paths: int) -> None:
        super().__init__()
        self.score = nn.Linear(inputs, paths, bias=False)
        nn.init.zeros_(self.score.weight)
        self.noise = nn.Parameter(torch.zeros(paths))

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """x [..., inputs] -> weights [..., paths], which sum to 1.

        With a generator, in training, Gaussian noise is added to the scores, with a standard deviation that is trained for each
        path. Without one there is no noise.
        """
        score = self.score(x)
        if generator is not None:
            drawn = torch.randn(score.shape, generator=generator, device=score.device, dtype=score.dtype)
            score = score + drawn * (softplus(self.noise) + NOISE_FLOOR)
        return score.softmax(-1)


class AdaptedLayer(nn.Module):
    """What one modality adds to one layer: its own adapter, in-adapters for the adapters of older modalities, and the gate."""

    def __init__(self, inputs: int, outputs: int, rank: int, older: Mapping[str, int]) -> None:
        """`older` maps older modalities to the rank of their adapters."""
        super().__init__()
        self.own = Adapter(inputs, outputs, rank)
        self.between = nn.ModuleDict({name: nn.Linear(size, size, bias=False) for name, size in older.items()})
        for linear in self.between.values():
            nn.init.zeros_(linear.weight)
        self.gate = PathGate(rank, len(older) + 1) if older else None

    def forward(self, x: Tensor, older: Mapping[str, Adapter], generator: torch.Generator | None = None) -> Tensor:
        """x [..., inputs] -> [..., outputs]; `older` has the adapter of this layer of each older modality."""
        if self.gate is None:
            return self.own(x)
        low = self.own.down(x)
        weights = self.gate(low, generator)
        paths = [older[name].up(between(older[name].down(x))) for name, between in self.between.items()]
        return sum(weights[..., [index]] * path for index, path in enumerate([*paths, self.own.lift(low)]))


class ModalityAdapters(nn.Module):
    """The adapters of one modality for all adapted layers of a projection: the `adapt` of `UniversalProjection.forward`.

        adapters = ModalityAdapters({"experts.0.0.query": (192, 192)}, rank=4, older={"audio": audio_adapters})
        tokens = projection(features, "depth", adapters)

    The adapters of older modalities are used by reference: they are neither parameters of this module nor in its state.
    """

    def __init__(
        self, layers: Mapping[str, tuple[int, int]], rank: int = RANK, older: Mapping[str, ModalityAdapters] | None = None
    ) -> None:
        """`layers` maps the name of each adapted layer to its numbers of inputs and outputs."""
        super().__init__()
        older = dict(older or {})
        self.rank = rank
        self._older = older
        ranks = {name: adapters.rank for name, adapters in older.items()}
        self.layers = nn.ModuleDict({_key(name): AdaptedLayer(*size, rank, ranks) for name, size in layers.items()})

    @property
    def older(self) -> tuple[str, ...]:
        """The older modalities whose adapters this one uses."""
        return tuple(self._older)

    def forward(self, layer: str, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What is added to the output of `layer` for its input x [..., inputs]; with a generator the gate is noisy."""
        key = _key(layer)
        return self.layers[key](x, {name: adapters.layers[key].own for name, adapters in self._older.items()}, generator)


def _key(layer: str) -> str:
    """The name of a layer as a key of a ModuleDict, which may hold no dots."""
    return layer.replace(".", "/")
