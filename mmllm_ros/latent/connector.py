# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Connectors: the tokens of one modality become keys and values in the last N blocks of a frozen LLM."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ..datatypes import PLACE_AXES, PLACE_WAVELENGTHS, BadInput
from .attention_adapter import Latent, LatentCache
from .decoder_blocks import FrozenProjections, decoder_blocks
from .duplicate_suppression import detections, log_weights
from .lora import Lora

PLACE_WIDTH = 20 + 2 * len(PLACE_AXES) * len(PLACE_WAVELENGTHS)
RANGE_SCALE = math.log1p(100.0)
MOST_SOURCES = 1024
INITIAL_TOKEN_GATE = -4.0
"""Token gate logit of every token at initialization; the blocks' gates compensate it. A low weight keeps tokens that show no
object from suppressing the tokens near them (duplicate_suppression.py), which would slow training down."""


def place_features(places: Tensor) -> Tensor:
    """Places [B, T, 3] (bearing [rad], elevation [rad], range [m], 0 = unknown) -> Fourier features [B, T, PLACE_WIDTH].

    Sines and cosines of the angles and the range, and of the position along PLACE_AXES, so that a linear map can compare places.
    """
    bearing, elevation, distance = places.unbind(-1)
    depth = torch.log1p(distance.clamp(min=0.0)) / RANGE_SCALE
    angles = [bearing, 2 * bearing, 3 * bearing, 4 * bearing, elevation, 2 * elevation]
    angles += [math.pi * depth, 2 * math.pi * depth, 4 * math.pi * depth]
    waves = torch.stack(angles, dim=-1)
    known = (distance > 0).to(places.dtype)[..., None]
    axes = places.new_tensor(PLACE_AXES).deg2rad()
    along = distance[..., None] * (bearing[..., None] - axes).cos()
    apart = (along[..., None] * (2 * math.pi / places.new_tensor(PLACE_WAVELENGTHS))).flatten(-2)
    return torch.cat([waves.sin(), waves.cos(), depth[..., None], known, known * apart.sin(), known * apart.cos()], dim=-1)


def low_rank(width: int, out: int, rank: int) -> nn.Module:
    """A linear map of at most `rank`, zero at initialization, so that a block starts from the output of its own projections."""
    if rank * (width + out) >= width * out:
        layer = last = nn.Linear(width, out)
    else:
        last = nn.Linear(rank, out)
        layer = nn.Sequential(nn.Linear(width, rank, bias=False), last)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return layer


class BlockHead(nn.Module):
    """The part of a connector for one block: the block's norm and projections of a shared state, plus a low-rank change."""

    def __init__(self, block: nn.Module, trunk: int, hidden_size: int, rank: int) -> None:
        super().__init__()
        self.projections = FrozenProjections.of(block)
        width = self.projections.heads * self.projections.head_width
        self.hidden = low_rank(trunk, hidden_size, rank)
        self.key = low_rank(trunk, width, rank)
        self.value = low_rank(trunk, width, rank)

    def forward(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Trunk features [B, T, trunk] and shared hidden [B, T, d_model] -> key, value [B, H, T, K]."""
        return self.projections(hidden + self.hidden(features), self.key(features), self.value(features))


class Connector(nn.Module):
    """Tokens of one modality -> a latent cache for the last `linked_blocks` blocks of `llm`.

    A shared trunk encodes token and place; each block adds a low-rank head and one log-gate, and each token has a log-gate of its
    own, so that a token without content has little weight. The LLM's norm and projections are used by reference: they are not
    parameters. With `lora`, the query and output projections of each linked block change by that rank in rows that attend to it
    (lora.py). At initialization the gates of a token sum to `log_gate`. The last `predicted_attributes` numbers of a token are
    not normalised (encoders/base.py), the others are.

        camera = Connector("camera", token_width=128, llm=llm, linked_blocks=4)
        latent_cache = merge({"camera": camera(values, places), "imu": imu(values2, places2)})
        with plugged(latent_cache):
            logits = llm(input_ids).logits
    """

    def __init__(
        self,
        modality: str,
        token_width: int,
        llm: nn.Module,
        linked_blocks: int,
        *,
        trunk: int = 256,
        rank: int = 32,
        log_gate: float = -1.0,
        lora: int = 0,
        predicted_attributes: int = 0,
    ) -> None:
        super().__init__()
        blocks = decoder_blocks(llm)
        if not 1 <= linked_blocks <= len(blocks):
            raise BadInput(f"{linked_blocks} linked blocks, but the LLM has {len(blocks)}")
        if not 0 <= predicted_attributes < token_width:
            raise BadInput(f"{predicted_attributes} predicted attributes in a token of {token_width} numbers")
        self.modality, self.predicted_attributes = modality, predicted_attributes
        self.shape = {"token_width": token_width, "linked_blocks": linked_blocks, "trunk": trunk, "rank": rank}
        self.shape |= {name: size for name, size in (("lora", lora), ("predicted_attributes", predicted_attributes)) if size}
        self.first_block = len(blocks) - linked_blocks
        self.normalise = nn.LayerNorm(token_width - predicted_attributes)
        self.trunk = nn.Sequential(nn.Linear(token_width + PLACE_WIDTH, trunk), nn.GELU(), nn.Linear(trunk, trunk), nn.GELU())
        self.hidden = nn.Linear(trunk, llm.config.hidden_size)
        self.heads = nn.ModuleList(BlockHead(block, trunk, llm.config.hidden_size, rank) for block in blocks[self.first_block :])
        linked = range(self.first_block, len(blocks))
        self.loras = nn.ModuleList(Lora(blocks[index], index, lora) for index in linked if lora)
        self.log_gate = nn.Parameter(torch.full((linked_blocks,), log_gate + math.log1p(math.exp(-INITIAL_TOKEN_GATE))))
        self.token_gate = nn.Linear(trunk, 1)
        nn.init.zeros_(self.token_gate.weight)
        nn.init.constant_(self.token_gate.bias, INITIAL_TOKEN_GATE)

    def forward(
        self,
        values: Tensor,
        places: Tensor,
        valid: Tensor | None = None,
        linked_blocks: int | None = None,
        sources: Tensor | None = None,
    ) -> dict[int, Latent]:
        """Tokens -> latent_cache.

        Args:
            values: [B, T, D].
            places: [B, T, 3], bearing [rad], elevation [rad], range [m].
            valid: bool [B, T]; a token that is not valid is absent. A row without valid tokens is unplugged.
            linked_blocks: link only this many of the last blocks; None = all of this connector.
            sources: the number of each token's source, [T] or [B, T]; None = one source.

        Returns a latent cache with one Latent for each linked block whose gate is open.
        """
        count = len(self.heads) if linked_blocks is None else linked_blocks
        if not 1 <= count <= len(self.heads):
            raise BadInput(f"linked_blocks is {count}, not between 1 and {len(self.heads)}")
        features = self._features(values, places)
        hidden, token_gate = self.hidden(features), self.token_gate(features).squeeze(-1)
        own, detected = logsigmoid(token_gate), detections(places.to(token_gate.dtype), token_gate.sigmoid(), sources)
        closed = torch.isneginf(self.log_gate).tolist()
        latent_cache = {}
        for i in range(len(self.heads) - count, len(self.heads)):
            if closed[i]:
                continue
            key, value = self.heads[i](features, hidden)
            gate = self.log_gate[i] + own
            if valid is not None:
                gate = gate.masked_fill(~valid, -torch.inf)
            lora = ((self.loras[i], 0, gate.shape[-1]),) if self.loras else ()
            latent_cache[self.first_block + i] = Latent(key, value, gate, lora, detected)
        return latent_cache

    def token_gate_logits(self, values: Tensor, places: Tensor) -> Tensor:
        """The logit [B, T] of each token's own gate."""
        return self.token_gate(self._features(values, places)).squeeze(-1)

    def _features(self, values: Tensor, places: Tensor) -> Tensor:
        dtype = self.log_gate.dtype
        features, predicted_attributes = values.to(dtype).tensor_split([values.shape[-1] - self.predicted_attributes], dim=-1)
        return self.trunk(torch.cat([self.normalise(features), predicted_attributes, place_features(places.to(dtype))], dim=-1))

    @torch.no_grad()
    def prune(self, below: float) -> int:
        """Close every gate whose log-gate is under `below`; a closed gate costs nothing. Returns the number of closed gates."""
        self.log_gate[self.log_gate < below] = -torch.inf
        return int(torch.isneginf(self.log_gate).sum())


def merge(latent_caches: Mapping[str, LatentCache]) -> dict[int, Latent]:
    """The latent caches of several modalities as one, concatenated by sorted name, so that the order of plugging does not matter.

    Tokens of several sources that show the same object share its weight (duplicate_suppression.py).
    """
    merged, weights = {}, {}
    for block in sorted({block for latent_cache in latent_caches.values() for block in latent_cache}):
        linked = tuple(name for name in sorted(latent_caches) if block in latent_caches[name])
        latents = [latent_caches[name][block] for name in linked]
        gate = torch.cat([latent.log_gate for latent in latents], dim=-1)
        if all(latent.detections is not None for latent in latents):
            # Blocks that link the same modalities attend to the same tokens, so their weights are the same.
            if linked not in weights:
                weights[linked] = log_weights(torch.cat(_with_distinct_sources(latents), dim=1), ~torch.isneginf(gate))
            gate = gate + weights[linked]
        merged[block] = Latent(
            torch.cat([latent.key for latent in latents], dim=2),
            torch.cat([latent.value for latent in latents], dim=2),
            gate,
            _shifted_loras(latents),
        )
    return merged


def _with_distinct_sources(latents: Sequence[Latent]) -> list[Tensor]:
    """The detections of each modality, with source numbers that no other modality has."""
    return [
        torch.cat([latent.detections[..., :3], latent.detections[..., 3:] + index * MOST_SOURCES], dim=-1)
        for index, latent in enumerate(latents)
    ]


def _shifted_loras(latents: Sequence[Latent]) -> tuple[tuple[nn.Module, int, int], ...]:
    """The LoRAs of all modalities, with the slots of each in the concatenated latents."""
    starts = itertools.accumulate((latent.log_gate.shape[-1] for latent in latents), initial=0)
    return tuple((lora, at + a, at + b) for latent, at in zip(latents, starts) for lora, a, b in latent.lora)
