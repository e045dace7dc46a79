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
from .duplicate_suppression import claims, log_share
from .lora import Lora

PLACE_WIDTH = 20 + 2 * len(PLACE_AXES) * len(PLACE_WAVELENGTHS)
RANGE_SCALE = math.log1p(100.0)
MOST_SOURCES = 1024
UNSURE = -4.0
"""Salience of every token at the start, which the blocks' gates make up for. A token that nothing is known of has little to say:
were it sure, it would take a share of every vote near it (votes.py), and what shows something would be found later."""


def place_features(places: Tensor) -> Tensor:
    """Places [B, T, 3] (bearing [rad], elevation [rad], range [m], 0 = unknown) -> Fourier features [B, T, PLACE_WIDTH].

    Waves of the angles and the range, and of the position along PLACE_AXES, so that places can be compared by their difference.
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
    """A linear map of at most `rank`, zero at the start, so that a block begins with what its own projections make."""
    if rank * (width + out) >= width * out:
        layer = last = nn.Linear(width, out)
    else:
        last = nn.Linear(rank, out)
        layer = nn.Sequential(nn.Linear(width, rank, bias=False), last)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return layer


class BlockHead(nn.Module):
    """The light part of a connector that one block owns: at first, the block's own norm and projections of a shared state."""

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
    """Tokens of one modality -> a bank for the last `linked_blocks` blocks of `llm`.

    A shared trunk reads token and place; each block adds a head of low rank and one log-gate, and each token a log-gate of its
    own, so that one that shows nothing steps back. The LLM's norm and projections are used by reference: they are no parameters.
    With `lora`, the query and output projections of each linked block change by that rank where it is heard (lora.py). At the
    start a token's gates come to `log_gate`. The last `readouts` numbers of a token are read as they are (encoders/base.py), the
    others normalised.

        camera = Connector("camera", token_width=128, llm=llm, linked_blocks=4)
        bank = merge({"camera": camera(values, places), "imu": imu(values2, places2)})
        with plugged(bank):
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
        readouts: int = 0,
    ) -> None:
        super().__init__()
        blocks = decoder_blocks(llm)
        if not 1 <= linked_blocks <= len(blocks):
            raise BadInput(f"{linked_blocks} linked blocks, but the LLM has {len(blocks)}")
        if not 0 <= readouts < token_width:
            raise BadInput(f"{readouts} read-outs in a token of {token_width} numbers")
        self.modality, self.readouts = modality, readouts
        self.shape = {"token_width": token_width, "linked_blocks": linked_blocks, "trunk": trunk, "rank": rank}
        self.shape |= {name: size for name, size in (("lora", lora), ("readouts", readouts)) if size}
        self.first_block = len(blocks) - linked_blocks
        self.normalise = nn.LayerNorm(token_width - readouts)
        self.trunk = nn.Sequential(nn.Linear(token_width + PLACE_WIDTH, trunk), nn.GELU(), nn.Linear(trunk, trunk), nn.GELU())
        self.hidden = nn.Linear(trunk, llm.config.hidden_size)
        self.heads = nn.ModuleList(BlockHead(block, trunk, llm.config.hidden_size, rank) for block in blocks[self.first_block :])
        linked = range(self.first_block, len(blocks))
        self.loras = nn.ModuleList(Lora(blocks[index], index, lora) for index in linked if lora)
        self.log_gate = nn.Parameter(torch.full((linked_blocks,), log_gate + math.log1p(math.exp(-UNSURE))))
        self.salience = nn.Linear(trunk, 1)
        nn.init.zeros_(self.salience.weight)
        nn.init.constant_(self.salience.bias, UNSURE)

    def forward(
        self,
        values: Tensor,
        places: Tensor,
        valid: Tensor | None = None,
        linked_blocks: int | None = None,
        sources: Tensor | None = None,
    ) -> dict[int, Latent]:
        """Tokens -> bank.

        Args:
            values: [B, T, D].
            places: [B, T, 3], bearing [rad], elevation [rad], range [m].
            valid: bool [B, T]; a token that is not valid is absent. A row without any is that row unplugged.
            linked_blocks: link only so many of the last blocks; None = all this connector has.
            sources: the number of each token's source, [T] or [B, T]; None = they all come from one.

        Returns a bank with one Latent for each linked block whose gate is open.
        """
        count = len(self.heads) if linked_blocks is None else linked_blocks
        if not 1 <= count <= len(self.heads):
            raise BadInput(f"linked_blocks is {count}, not between 1 and {len(self.heads)}")
        features = self._features(values, places)
        hidden, salience = self.hidden(features), self.salience(features).squeeze(-1)
        own, claimed = logsigmoid(salience), claims(places.to(salience.dtype), salience.sigmoid(), sources)
        closed = torch.isneginf(self.log_gate).tolist()
        bank = {}
        for i in range(len(self.heads) - count, len(self.heads)):
            if closed[i]:
                continue
            key, value = self.heads[i](features, hidden)
            gate = self.log_gate[i] + own
            if valid is not None:
                gate = gate.masked_fill(~valid, -torch.inf)
            lora = ((self.loras[i], 0, gate.shape[-1]),) if self.loras else ()
            bank[self.first_block + i] = Latent(key, value, gate, lora, claimed)
        return bank

    def salience_of(self, values: Tensor, places: Tensor) -> Tensor:
        """How much each token has to say, as the logit [B, T] of its own gate."""
        return self.salience(self._features(values, places)).squeeze(-1)

    def _features(self, values: Tensor, places: Tensor) -> Tensor:
        dtype = self.log_gate.dtype
        features, readouts = values.to(dtype).tensor_split([values.shape[-1] - self.readouts], dim=-1)
        return self.trunk(torch.cat([self.normalise(features), readouts, place_features(places.to(dtype))], dim=-1))

    @torch.no_grad()
    def prune(self, below: float) -> int:
        """Close every gate whose log-gate is under `below`; a closed gate costs nothing. Returns how many are now closed."""
        self.log_gate[self.log_gate < below] = -torch.inf
        return int(torch.isneginf(self.log_gate).sum())


def merge(banks: Mapping[str, LatentCache]) -> dict[int, Latent]:
    """The banks of several modalities as one, joined by sorted name: the order of plugging cannot change a bit of the result.

    What several sources show of one thing shares its weight (votes.py).
    """
    merged, shares = {}, {}
    for block in sorted({block for bank in banks.values() for block in bank}):
        linked = tuple(name for name in sorted(banks) if block in banks[name])
        latents = [banks[name][block] for name in linked]
        gate = torch.cat([latent.log_gate for latent in latents], dim=-1)
        if all(latent.claims is not None for latent in latents):
            # Blocks that link the same modalities hear the same tokens, and so share alike.
            if linked not in shares:
                shares[linked] = log_share(torch.cat(_claims_apart(latents), dim=1), ~torch.isneginf(gate))
            gate = gate + shares[linked]
        merged[block] = Latent(
            torch.cat([latent.key for latent in latents], dim=2),
            torch.cat([latent.value for latent in latents], dim=2),
            gate,
            _beside_each_other(latents),
        )
    return merged


def _claims_apart(latents: Sequence[Latent]) -> list[Tensor]:
    """The claims of each modality, with source numbers that no other one has."""
    return [
        torch.cat([latent.claims[..., :3], latent.claims[..., 3:] + index * MOST_SOURCES], dim=-1)
        for index, latent in enumerate(latents)
    ]


def _beside_each_other(latents: Sequence[Latent]) -> tuple[tuple[nn.Module, int, int], ...]:
    starts = itertools.accumulate((latent.log_gate.shape[-1] for latent in latents), initial=0)
    return tuple((lora, at + a, at + b) for latent, at in zip(latents, starts) for lora, a, b in latent.lora)
