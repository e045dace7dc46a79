# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ways to show sensor tokens to the same frozen LLM: what the connectors replace, and the connectors with a correction undone.

Each rival reads the same tokens and the same packed questions, and trains with the same loop. All are given what packing
brings (a frame's tokens are there once for all its questions); lower states are kept where nothing below changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache

from mmllm_ros.latent.attention_adapter import Latent, LatentCache
from mmllm_ros.latent.connector import PLACE_WIDTH, Connector, merge, place_features
from mmllm_ros.latent.decoder_blocks import FrozenProjections, decoder_blocks
from mmllm_ros.latent.split_forward import upper
from mmllm_ros.training.lower_cache import LowerCache
from mmllm_ros.training.packing import Packed

Seen = Mapping[str, tuple[Tensor, Tensor]]
"""Tokens of F frames by modality: values [F, T, D] and places [F, T, 3]."""


class Rival(nn.Module):
    """A frozen LLM that is shown tokens in some way. Only what `parameters()` gives trains; the LLM is held by reference."""

    def __init__(self, llm: nn.Module, linked_blocks: int) -> None:
        super().__init__()
        self.first = len(decoder_blocks(llm)) - linked_blocks
        self.texts = LowerCache(llm, self.first)
        self.frozen = (llm,)

    @property
    def llm(self) -> nn.Module:
        """In a tuple, so that its weights are not this module's."""
        return self.frozen[0]

    def see(self, seen: Seen) -> object:
        """What the tokens of F frames become, once for all questions about them."""
        return None

    def read(self, packed: Packed, sight: object) -> Tensor:
        """Logits [R, n, vocabulary] at `packed.places`."""
        return self.texts.logits(packed, {})

    def keep(self, sight: object) -> object:
        """What is kept of a frame for the next question about it."""
        return sight

    def read_again(self, packed: Packed, kept: object) -> Tensor:
        """`read` of one question about that frame."""
        return self.read(packed, kept)


class Ours(Rival):
    """The connectors, or the connectors with one correction undone (`without`, a key of CORRECTIONS)."""

    def __init__(self, llm: nn.Module, linked_blocks: int, widths: Mapping[str, int], without: str = "", **shape: int) -> None:
        super().__init__(llm, linked_blocks)
        self.connectors = nn.ModuleDict(
            {name: Connector(name, width, llm, linked_blocks, **shape) for name, width in widths.items()}
        )
        self.without = without
        if without == "skipping":
            self.texts = LowerCache(llm, 0)

    def see(self, seen: Seen) -> dict[int, Latent]:
        banks = {}
        for name, (values, places) in seen.items():
            if self.without == "directions":
                places = torch.zeros_like(places)
            if self.without == "tokens":
                values, places = values.mean(1, keepdim=True), places.mean(1, keepdim=True)
            bank = self.connectors[name](values, places)
            if self.without == "blocks":
                top = bank[max(bank)]
                bank = {block: replace(latent, key=top.key, value=top.value) for block, latent in bank.items()}
            if self.without == "votes":
                bank = {block: replace(latent, claims=None) for block, latent in bank.items()}
            banks[name] = bank
        bank = merge(banks)
        if self.without == "log-gates":
            bank = {block: scaled(latent, latent.log_gate.exp()) for block, latent in bank.items()}
        if self.without == "skipping":
            bank = {**zeros_below(bank, self.first), **bank}
        return bank

    def read(self, packed: Packed, sight: LatentCache) -> Tensor:
        return self.texts.logits(packed, rows_of(sight, packed))


CORRECTIONS = {
    "skipping": "unlinked blocks skipped: instead zero K/V there",
    "log-gates": "gates added to scores: instead factors on K and V",
    "blocks": "K/V of each block's own: instead the same for all",
    "directions": "places in the tokens: instead none",
    "votes": "one vote for what several tokens show: instead one each",
    "tokens": "spatial tokens: instead one mean token a modality",
}
"""What is undone, and what stands in its place (papers.md 1.2 and 4)."""


class Published(Rival):
    """mPnP-LLM's published form: two MLPs a modality make K and V in head space, the same for all blocks and without places; a
    sigmoid a block multiplies both; blocks below get zero K/V."""

    def __init__(self, llm: nn.Module, linked_blocks: int, widths: Mapping[str, int]) -> None:
        super().__init__(llm, linked_blocks)
        self.texts = LowerCache(llm, 0)
        projections = FrozenProjections.of(decoder_blocks(llm)[-1])
        self.heads, out = projections.heads, projections.heads * projections.head_width
        self.key, self.value = (nn.ModuleDict({name: mlp(width, 4 * width, out) for name, width in widths.items()}) for _ in "kv")
        self.linker = nn.Parameter(torch.empty(linked_blocks).uniform_(-1, 1))

    def see(self, seen: Seen) -> dict[int, Latent]:
        key, value = (
            torch.cat(
                [part[name](values).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name, (values, _) in seen.items()], 2
            )
            for part in (self.key, self.value)
        )
        shared = Latent(key, value, key.new_zeros(key.shape[0], key.shape[2]))
        bank = {self.first + i: scaled(shared, factor) for i, factor in enumerate(self.linker.sigmoid())}
        return {**zeros_below(bank, self.first), **bank}

    def read(self, packed: Packed, sight: LatentCache) -> Tensor:
        return self.texts.logits(packed, rows_of(sight, packed))


class Insertion(Rival):
    """LLaVA's form: an MLP a modality makes word embeddings, which stand before the text; gradients go through every block."""

    def __init__(self, llm: nn.Module, linked_blocks: int, widths: Mapping[str, int]) -> None:
        super().__init__(llm, linked_blocks)
        size = llm.config.hidden_size
        self.project = nn.ModuleDict({name: mlp(width + PLACE_WIDTH, size, size) for name, width in widths.items()})

    def see(self, seen: Seen) -> Tensor:
        scale = self.llm.model.embed_tokens.weight.std()
        return scale * torch.cat([self.project[name](torch.cat([v, place_features(p)], -1)) for name, (v, p) in seen.items()], 1)

    def read(self, packed: Packed, sight: Tensor) -> Tensor:
        return from_the_bottom(self.llm, packed, sight[packed.frames], {})

    def keep(self, sight: Tensor) -> DynamicCache:
        cache = DynamicCache(config=self.llm.config)
        self.llm.model(inputs_embeds=sight, past_key_values=cache, use_cache=True)
        return cache

    def read_again(self, packed: Packed, kept: DynamicCache) -> Tensor:
        hidden = self.llm.model(packed.ids, past_key_values=kept, use_cache=True).last_hidden_state
        kept.crop(-packed.ids.shape[1])
        return self.llm.lm_head(hidden[:, packed.places[0]])


class CrossAttention(Rival):
    """Flamingo's form: before each linked block a new layer, cross-attention and feed-forward, behind tanh gates of zero."""

    def __init__(self, llm: nn.Module, linked_blocks: int, widths: Mapping[str, int]) -> None:
        super().__init__(llm, linked_blocks)
        size, heads = llm.config.hidden_size, llm.config.num_attention_heads
        self.project = nn.ModuleDict({name: nn.Linear(width + PLACE_WIDTH, size) for name, width in widths.items()})
        heads = max(count for count in range(1, heads + 1) if size % count == 0)
        self.layers = nn.ModuleList(GatedLayer(size, heads) for _ in range(linked_blocks))

    def see(self, seen: Seen) -> Tensor:
        return torch.cat([self.project[name](torch.cat([v, place_features(p)], -1)) for name, (v, p) in seen.items()], 1)

    def read(self, packed: Packed, sight: Tensor) -> Tensor:
        memory = sight[packed.frames]
        blocks = decoder_blocks(self.llm)[self.first :]
        hooks = [
            block.register_forward_pre_hook(lambda _, inputs, layer=layer: (layer(inputs[0], memory), *inputs[1:]))
            for block, layer in zip(blocks, self.layers, strict=True)
        ]
        try:
            return self.texts.logits(packed, {})
        finally:
            for hook in hooks:
                hook.remove()


class GatedLayer(nn.Module):
    """Cross-attention and feed-forward with tanh gates that start at zero (arXiv 2204.14198, figure 4)."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(size, heads, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(3))
        self.feed = mlp(size, 4 * size, size)
        self.gates = nn.Parameter(torch.zeros(2))

    def forward(self, hidden: Tensor, memory: Tensor) -> Tensor:
        """Hidden [R, S, d_model] and memory [R, P, d_model] -> hidden."""
        memory = self.norms[1](memory)
        heard = self.attend(self.norms[0](hidden), memory, memory, need_weights=False)[0]
        hidden = hidden + self.gates[0].tanh() * heard
        return hidden + self.gates[1].tanh() * self.feed(self.norms[2](hidden))


def from_the_bottom(llm: nn.Module, packed: Packed, before: Tensor, bank: LatentCache) -> Tensor:
    """Logits of `packed` with word embeddings [R, n, d_model] before each row's text, every block computed; only the text hears
    the bank."""
    hidden = torch.cat([before, llm.model.embed_tokens(packed.ids).to(before.dtype)], 1)
    (rows, count), size = before.shape[:2], hidden.shape[1]
    visible = torch.ones(rows, 1, size, size, dtype=torch.bool, device=hidden.device).tril()
    visible[:, :, count:, count:] = packed.visible
    positions = torch.cat([torch.arange(count, device=hidden.device).expand(rows, -1), packed.positions + count], 1)
    deaf = {
        block: replace(part, log_gate=functional.pad(part.log_gate, (0, 0, count, 0), value=-torch.inf))
        for block, part in bank.items()
    }
    return upper(llm, hidden, deaf, visible, first_block=0, positions=packed.places + count, position_ids=positions)


def mlp(width: int, inner: int, out: int) -> nn.Sequential:
    """Linear, GELU, linear."""
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, out))


def scaled(latent: Latent, factor: Tensor) -> Latent:
    """A factor, one number or [F, P], on K and V, and no gate: at zero the latent still takes softmax weight."""
    if factor.ndim:
        factor = factor[:, None, :, None]
    return Latent(latent.key * factor, latent.value * factor, torch.zeros_like(latent.log_gate))


def zeros_below(bank: LatentCache, first: int) -> dict[int, Latent]:
    """Zero K/V for every block below `first`."""
    shape = next(iter(bank.values()))
    zero = Latent(*(torch.zeros_like(part) for part in (shape.key, shape.value, shape.log_gate)))
    return dict.fromkeys(range(first), zero)


def rows_of(bank: LatentCache, packed: Packed) -> dict[int, Latent]:
    """The latents of each row's frame."""
    frames = packed.frames
    return {block: part.of_rows(frames, part.log_gate[frames]) for block, part in bank.items()}


def make_rivals(llm: nn.Module, linked_blocks: int, widths: Mapping[str, int], shape: Mapping[str, int]) -> dict[str, object]:
    """How to make each row of the table, by name."""
    plain = {"token insertion": Insertion, "gated cross-attention": CrossAttention, "mPnP as published": Published}
    rows = {name: lambda kind=kind: kind(llm, linked_blocks, widths) for name, kind in plain.items()}
    rows["ours"] = lambda: Ours(llm, linked_blocks, widths, **shape)
    for key in CORRECTIONS:
        rows[f"ours without {key}"] = lambda key=key: Ours(llm, linked_blocks, widths, key, **shape)
    return {"blind": lambda: Rival(llm, linked_blocks), **rows}
