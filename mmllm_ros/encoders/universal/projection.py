# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The universal projection module (OneLLM, arXiv 2312.03700, section 3.1): features of any length -> a fixed number of tokens.

Learnable tokens of a modality are put before its features, K experts (transformer blocks) mix them, and a router weighs the
experts for each of these tokens. The published router reads the learnable tokens alone, so that its weights are the same for
every signal of a modality; this one also reads the mean of the features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...datatypes import BadInput

ROUTERS = ("soft", "sparse", "constant")
Adapt = Callable[[str, Tensor], Tensor | None]
"""What an adapter adds to the output of the layer of that name ("experts.0.1.query") at input [B, P + N, W]; None = nothing."""


class ProjectionBlock(nn.Module):
    """Pre-norm self-attention and MLP, with separate query, key, value and output maps that adapters can add to."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(self, x: Tensor, name: str, adapt: Adapt | None) -> Tensor:
        def layer(kind: str, inputs: Tensor) -> Tensor:
            own = getattr(self, kind)(inputs)
            added = adapt(f"{name}.{kind}", inputs) if adapt else None
            return own if added is None else own + added

        inputs = self.attention_norm(x)
        split = (layer(kind, inputs).unflatten(-1, (self.heads, -1)).transpose(1, 2) for kind in ("query", "key", "value"))
        mixed = functional.scaled_dot_product_attention(*split)
        x = x + layer("output", mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.mlp_norm(x))


class ModalityMaps(nn.Module):
    """What a modality has of its own in the projection: input map, learnable tokens [P, W], output map."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.input = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))
        self.tokens = nn.Parameter(0.5 * torch.randn(tokens, width))
        self.output = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))


class UniversalProjection(nn.Module):
    """Features [B, N, W] of a modality -> tokens [B, P, W].

    Args:
        width: W, of the features and the tokens.
        tokens: P.
        experts: K.
        blocks: transformer blocks of an expert.
        heads: attention heads.
        router: "soft" (softmax over the experts), "sparse" (the best expert only), "constant" (equal weights).
    """

    def __init__(
        self, width: int, tokens: int = 16, experts: int = 3, blocks: int = 2, heads: int = 3, router: str = "soft"
    ) -> None:
        super().__init__()
        if router not in ROUTERS:
            raise BadInput(f"router {router!r} is not one of {list(ROUTERS)}")
        if min(width, tokens, experts, blocks, heads) < 1 or width % heads:
            raise BadInput(
                f"a projection of width {width} with {tokens} tokens, {experts} experts, {blocks} blocks, {heads} heads"
            )
        self.shape = {"tokens": tokens, "experts": experts, "blocks": blocks, "heads": heads, "router": router}
        self.width = width
        self.modalities = nn.ModuleDict()
        self.experts = nn.ModuleList(nn.ModuleList(ProjectionBlock(width, heads) for _ in range(blocks)) for _ in range(experts))
        learned = experts > 1 and router != "constant"
        self.router = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, experts)) if learned else None

    def add(self, modality: str, like: str | None = None) -> ModalityMaps:
        """New maps and learnable tokens for `modality`, copies of those of `like` where given. Raises BadInput."""
        if modality in self.modalities:
            raise BadInput(f"the projection has modality {modality!r} already")
        maps = ModalityMaps(self.width, self.shape["tokens"])
        if like is not None:
            maps.load_state_dict(self._maps(like).state_dict())
        self.modalities[modality] = maps
        return maps

    @torch.no_grad()
    def copy_experts(self, source: UniversalProjection) -> None:
        """Initialize every expert with the first one of `source`, as the paper does with its image-trained projection."""
        for expert in self.experts:
            expert.load_state_dict(source.experts[0].state_dict())

    def layer_names(self) -> list[str]:
        """The names of the layers that `adapt` is called for."""
        return [
            f"experts.{expert}.{block}.{kind}"
            for expert, blocks in enumerate(self.experts)
            for block in range(len(blocks))
            for kind in ("query", "key", "value", "output")
        ]

    def weights(self, features: Tensor, modality: str) -> Tensor:
        """The weights [B, P, K] of the experts for each token; `features` [B, N, W] are those after the input map."""
        if self.router is None:
            return features.new_full((len(features), self.shape["tokens"], len(self.experts)), 1 / len(self.experts))
        tokens = self._maps(modality).tokens
        shares = self.router(tokens + features.mean(1, keepdim=True)).softmax(-1)
        if self.shape["router"] == "sparse":
            best = shares.argmax(-1, keepdim=True)
            shares = torch.zeros_like(shares).scatter(-1, best, shares.gather(-1, best))
        return shares

    def forward(self, features: Tensor, modality: str, adapt: Adapt | None = None) -> Tensor:
        """Features [B, N, W] -> tokens [B, P, W]; with `adapt` None the result is that of the projection alone, bit for bit."""
        maps = self._maps(modality)
        features = maps.input(features)
        count = self.shape["tokens"]
        x = torch.cat([maps.tokens.expand(len(features), -1, -1), features], dim=1)
        weights = self.weights(features, modality) if len(self.experts) > 1 else None
        mixed = None
        for number, blocks in enumerate(self.experts):
            if weights is not None and not weights[..., number].any():
                continue
            y = x
            for place, block in enumerate(blocks):
                y = block(y, f"experts.{number}.{place}", adapt)
            y = y[:, :count] if weights is None else y[:, :count] * weights[..., number, None]
            mixed = y if mixed is None else mixed + y
        return maps.output(mixed)

    def _maps(self, modality: str) -> ModalityMaps:
        if modality not in self.modalities:
            raise BadInput(f"the projection has no modality {modality!r}, only {sorted(self.modalities)}")
        return self.modalities[modality]
