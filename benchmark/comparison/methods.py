# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fusion methods: ways to give sensor tokens to the same frozen LLM, and our connectors with one design choice removed.

Each method gets the same tokens and the same packed questions, and trains with the same loop. All use packing (the tokens of a
frame are shared by all its questions). Hidden states of lower blocks are cached where the method does not change them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from attribute_text import SENSORS, described
from torch import Tensor, nn
from torch.nn import functional
from transformers import DynamicCache

from mmllm_ros.latent.attention_adapter import Latent, LatentCache
from mmllm_ros.latent.connector import PLACE_WIDTH, Connector, merge, place_features
from mmllm_ros.latent.decoder_blocks import FrozenProjections, decoder_blocks
from mmllm_ros.latent.shared_lora import INPUT_PROJECTIONS, OUTPUT_PROJECTIONS, SharedLora
from mmllm_ros.latent.split_forward import upper
from mmllm_ros.training.lower_cache import LowerCache
from mmllm_ros.training.packing import Packed

LORA = {"rank": 32, "output_rank": 16}
"""Ranks of the LoRA in the rows that have one, those of drive_smollm2."""

TokensByModality = Mapping[str, tuple[Tensor, Tensor]]
"""Tokens of F frames by modality: values [F, T, D] and places [F, T, 3]."""


class FusionMethod(nn.Module):
    """A frozen LLM with a way to use tokens; this base class uses none. Only `parameters()` train; the LLM is not among them."""

    def __init__(self, llm: nn.Module, linked_blocks: int) -> None:
        super().__init__()
        self.first = len(decoder_blocks(llm)) - linked_blocks
        self.texts = LowerCache(llm, self.first)
        self.frozen = (llm,)

    @property
    def llm(self) -> nn.Module:
        """The LLM; stored in a tuple, so that its weights are not registered in this module."""
        return self.frozen[0]

    def encode(self, tokens: TokensByModality) -> object:
        """Features of F frames from their tokens, computed once for all questions about them."""
        return None

    def logits(self, packed: Packed, features: object) -> Tensor:
        """Logits [R, n, vocabulary] at `packed.places`."""
        return self.texts.logits(packed, {})

    def cache(self, features: object) -> object:
        """The cached features of a frame for the next question about it."""
        return features

    def logits_from_cache(self, packed: Packed, cached: object) -> Tensor:
        """`logits` of one question about that frame."""
        return self.logits(packed, cached)


class Ours(FusionMethod):
    """Our connectors, or the connectors with one design choice removed (`without`, a key of ABLATIONS)."""

    def __init__(self, llm: nn.Module, linked_blocks: int, widths: Mapping[str, int], without: str = "", **shape: int) -> None:
        super().__init__(llm, linked_blocks)
        self.connectors = nn.ModuleDict(
            {name: Connector(name, width, llm, linked_blocks, **shape) for name, width in widths.items()}
        )
        self.without = without
        if without == "skipping":
            self.texts = LowerCache(llm, 0)

    def encode(self, tokens: TokensByModality) -> dict[int, Latent]:
        latent_caches = {}
        for name, (values, places) in tokens.items():
            if self.without == "directions":
                places = torch.zeros_like(places)
            if self.without == "tokens":
                values, places = values.mean(1, keepdim=True), places.mean(1, keepdim=True)
            latent_cache = self.connectors[name](values, places)
            if self.without == "blocks":
                top = latent_cache[max(latent_cache)]
                latent_cache = {block: replace(latent, key=top.key, value=top.value) for block, latent in latent_cache.items()}
            if self.without == "duplicate suppression":
                latent_cache = {block: replace(latent, detections=None) for block, latent in latent_cache.items()}
            latent_caches[name] = latent_cache
        latent_cache = merge(latent_caches)
        if self.without == "log-gates":
            latent_cache = {block: scaled(latent, latent.log_gate.exp()) for block, latent in latent_cache.items()}
        if self.without == "skipping":
            latent_cache = {**zeros_below(latent_cache, self.first), **latent_cache}
        return latent_cache

    def logits(self, packed: Packed, features: LatentCache) -> Tensor:
        return self.texts.logits(packed, rows_of(features, packed))


ABLATIONS = {
    "skipping": "unlinked blocks skipped: instead zero K/V there",
    "log-gates": "gates added to scores: instead factors on K and V",
    "blocks": "K/V of each block's own: instead the same for all",
    "directions": "positions in the tokens: instead none",
    "duplicate suppression": "one weight for several tokens of the same object: instead one each",
    "tokens": "spatial tokens: instead one mean token a modality",
}
"""The design choices that are removed, each with its replacement."""


class Published(FusionMethod):
    """mPnP-LLM as published: two MLPs per modality give K and V in head space, the same for all blocks and without positions; one
    sigmoid per block multiplies both; lower blocks get zero K/V."""

    def __init__(self, llm: nn.Module, linked_blocks: int, widths: Mapping[str, int]) -> None:
        super().__init__(llm, linked_blocks)
        self.texts = LowerCache(llm, 0)
        projections = FrozenProjections.of(decoder_blocks(llm)[-1])
        self.heads, out = projections.heads, projections.heads * projections.head_width
        self.key, self.value = (nn.ModuleDict({name: mlp(width, 4 * width, out) for name, width in widths.items()}) for _ in "kv")
        self.linker = nn.Parameter(torch.empty(linked_blocks).uniform_(-1, 1))

    def encode(self, tokens: TokensByModality) -> dict[int, Latent]:
        key, value = (
            torch.cat(
                [part[name](values).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name, (values, _) in tokens.items()], 2
            )
            for part in (self.key, self.value)
        )
        shared = Latent(key, value, key.new_zeros(key.shape[0], key.shape[2]))
        latent_cache = {self.first + i: scaled(shared, factor) for i, factor in enumerate(self.linker.sigmoid())}
        return {**zeros_below(latent_cache, self.first), **latent_cache}

    def logits(self, packed: Packed, features: LatentCache) -> Tensor:
        return self.texts.logits(packed, rows_of(features, packed))


class Insertion(FusionMethod):
    """As in LLaVA: an MLP per modality gives word embeddings before the text; gradients pass through every block."""

    def __init__(self, llm: nn.Module, linked_blocks: int, widths: Mapping[str, int]) -> None:
        super().__init__(llm, linked_blocks)
        size = llm.config.hidden_size
        self.project = nn.ModuleDict({name: mlp(width + PLACE_WIDTH, size, size) for name, width in widths.items()})
        self.scale = llm.model.embed_tokens.weight.std().item()

    def encode(self, tokens: TokensByModality) -> Tensor:
        return self.scale * torch.cat(
            [self.project[name](torch.cat([v, place_features(p)], -1)) for name, (v, p) in tokens.items()], 1
        )

    def logits(self, packed: Packed, features: Tensor) -> Tensor:
        return full_forward(self.llm, packed, features[packed.frames], {})

    def cache(self, features: Tensor) -> DynamicCache:
        cache = DynamicCache(config=self.llm.config)
        self.llm.model(inputs_embeds=features, past_key_values=cache, use_cache=True)
        return cache

    def logits_from_cache(self, packed: Packed, cached: DynamicCache) -> Tensor:
        hidden = self.llm.model(packed.ids, past_key_values=cached, use_cache=True).last_hidden_state
        cached.crop(-packed.ids.shape[1])
        return self.llm.lm_head(hidden[:, packed.places[0]])


class CrossAttention(FusionMethod):
    """As in Flamingo: cross-attention and feed-forward before each linked block, with tanh gates that start at zero."""

    def __init__(self, llm: nn.Module, linked_blocks: int, widths: Mapping[str, int]) -> None:
        super().__init__(llm, linked_blocks)
        size, heads = llm.config.hidden_size, llm.config.num_attention_heads
        self.project = nn.ModuleDict({name: nn.Linear(width + PLACE_WIDTH, size) for name, width in widths.items()})
        heads = max(count for count in range(1, heads + 1) if size % count == 0)
        self.layers = nn.ModuleList(GatedLayer(size, heads) for _ in range(linked_blocks))

    def encode(self, tokens: TokensByModality) -> Tensor:
        return torch.cat([self.project[name](torch.cat([v, place_features(p)], -1)) for name, (v, p) in tokens.items()], 1)

    def logits(self, packed: Packed, features: Tensor) -> Tensor:
        memory = features[packed.frames]
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


class AttributesAsText(FusionMethod):
    """The predicted attributes of camera and lidar as text in a system message before the questions (attribute_text.py); of a
    signal without predicted attributes it says nothing."""

    def __init__(self, llm: nn.Module, linked_blocks: int, tokenizer: Any) -> None:
        super().__init__(llm, linked_blocks)
        self.tokenizer = tokenizer

    def encode(self, tokens: TokensByModality) -> Tensor:
        frames = len(next(iter(tokens.values()))[0])
        texts = []
        for frame in range(frames):
            parts = [(name, *(part[frame].numpy() for part in tokens[name])) for name in SENSORS if name in tokens]
            lines = [line for part in parts for line in described(*part)] or ["no objects"]
            texts.append(self.tokenizer(REPORT.format(scene="\n".join(lines)), add_special_tokens=False)["input_ids"])
        size, blank = max(map(len, texts)), self.tokenizer(BLANK, add_special_tokens=False)["input_ids"][:1]
        ids = torch.tensor([(blank or [0]) * (size - len(text)) + text for text in texts])
        return self.llm.model.embed_tokens(ids)

    def logits(self, packed: Packed, features: Tensor) -> Tensor:
        return full_forward(self.llm, packed, features[packed.frames], {})


REPORT = "<|im_start|>system\nThe sensors of your robot report:\n{scene}<|im_end|>\n"
BLANK = "\n"
"""Fills up the shorter texts of a batch, in front."""


class WithLora(FusionMethod):
    """A method with a LoRA on the linked blocks, which acts at every position of the text."""

    def __init__(self, method: FusionMethod, lora: SharedLora) -> None:
        super().__init__(method.llm, len(lora.blocks))
        self.method, self.lora, self.texts = method, lora, method.texts

    def encode(self, tokens: TokensByModality) -> object:
        return self.method.encode(tokens)

    def logits(self, packed: Packed, features: object) -> Tensor:
        with acting(self.lora, self.llm):
            return self.method.logits(packed, features)


def _changed(part: nn.Module, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + part(inputs[0])


@contextlib.contextmanager
def acting(lora: SharedLora, llm: nn.Module) -> Iterator[None]:
    """Within this context `lora` changes its blocks of `llm` at every position."""
    hooks = [
        attrgetter(path)(block).register_forward_hook(partial(_changed, parts[path.replace(".", "_")]))
        for block, parts in zip(decoder_blocks(llm)[lora.first_block :], lora.blocks, strict=True)
        for path in (*INPUT_PROJECTIONS, *OUTPUT_PROJECTIONS)
    ]
    try:
        yield
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
        attended = self.attend(self.norms[0](hidden), memory, memory, need_weights=False)[0]
        hidden = hidden + self.gates[0].tanh() * attended
        return hidden + self.gates[1].tanh() * self.feed(self.norms[2](hidden))


def full_forward(llm: nn.Module, packed: Packed, before: Tensor, latent_cache: LatentCache) -> Tensor:
    """Logits of `packed` with word embeddings [R, n, d_model] before each row's text, every block computed; only the
    text attends to the latent cache."""
    hidden = torch.cat([before, llm.model.embed_tokens(packed.ids).to(before.dtype)], 1)
    (rows, count), size = before.shape[:2], hidden.shape[1]
    visible = torch.ones(rows, 1, size, size, dtype=torch.bool, device=hidden.device).tril()
    visible[:, :, count:, count:] = packed.visible
    positions = torch.cat([torch.arange(count, device=hidden.device).expand(rows, -1), packed.positions + count], 1)
    text_only = {
        block: replace(part, log_gate=functional.pad(part.log_gate, (0, 0, count, 0), value=-torch.inf))
        for block, part in latent_cache.items()
    }
    return upper(llm, hidden, text_only, visible, first_block=0, positions=packed.places + count, position_ids=positions)


def mlp(width: int, inner: int, out: int) -> nn.Sequential:
    """Linear, GELU, linear."""
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, out))


def scaled(latent: Latent, factor: Tensor) -> Latent:
    """A factor, one number or [F, P], on K and V, and no gate: at zero the latent still takes softmax weight."""
    if factor.ndim:
        factor = factor[:, None, :, None]
    return Latent(latent.key * factor, latent.value * factor, torch.zeros_like(latent.log_gate))


def zeros_below(latent_cache: LatentCache, first: int) -> dict[int, Latent]:
    """Zero K/V for every block below `first`."""
    shape = next(iter(latent_cache.values()))
    zero = Latent(*(torch.zeros_like(part) for part in (shape.key, shape.value, shape.log_gate)))
    return dict.fromkeys(range(first), zero)


def rows_of(latent_cache: LatentCache, packed: Packed) -> dict[int, Latent]:
    """The latents of each row's frame."""
    frames = packed.frames
    return {block: part.of_rows(frames, part.log_gate[frames]) for block, part in latent_cache.items()}


def make_methods(
    llm: nn.Module,
    tokenizer: Any,
    linked_blocks: int,
    widths: Mapping[str, int],
    shape: Mapping[str, int],
    lora: Mapping[str, int],
) -> dict[str, Callable[[], FusionMethod]]:
    """A constructor for each row of the table, by name. `shape` is that of a connector, `lora` has the ranks of SharedLora."""
    plain = {"token insertion": Insertion, "gated cross-attention": CrossAttention, "mPnP as published": Published}
    rows = {"blind": lambda: FusionMethod(llm, linked_blocks)}
    rows |= {name: lambda kind=kind: kind(llm, linked_blocks, widths) for name, kind in plain.items()}
    rows["ours"] = lambda: Ours(llm, linked_blocks, widths, **shape)
    for key in ABLATIONS:
        rows[f"ours without {key}"] = lambda key=key: Ours(llm, linked_blocks, widths, key, **shape)
    rows["attributes as text"] = lambda: AttributesAsText(llm, linked_blocks, tokenizer)
    for name in ("blind", "ours", "attributes as text"):
        rows[f"{name}, with LoRA"] = lambda make=rows[name]: WithLora(make(), SharedLora(llm, linked_blocks, **lora))
    return rows
