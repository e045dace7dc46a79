# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The attention adapter: adds latent keys and values to the attention of a Hugging Face decoder without rewriting its classes.

In a linked block, text attends to [latents, text] in one softmax; a log-gate is added to the score of every latent. A gate at
minus infinity is an absent slot. A block without latents runs the library's own attention, so that with nothing plugged the
logits are those of the bare LLM, bit for bit. Latent keys have no RoPE: direction is in the tokens (connector.py). The text cache
holds text only, and text positions do not shift.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ..datatypes import BadInput, one_line
from .decoder_blocks import decoder_blocks

IMPLEMENTATION = "mmllm_latent"


@dataclass(frozen=True, slots=True)
class Latent:
    """The latents of one block: key and value [B, H, P, K], log_gate [B, P] (minus infinity = absent).

    A log_gate [B, S, P] has a gate for each of the S text positions: several questions in one row may see different sensors.
    `lora` lists the LoRA modules that act where these latents are attended to (lora.py), each with the first and last slot (of P,
    the last excluded) of its modality. `detections` [B, P, 4] are those of the tokens (duplicate_suppression.py), None after
    merging.
    """

    key: Tensor
    value: Tensor
    log_gate: Tensor
    lora: tuple[tuple[nn.Module, int, int], ...] = ()
    detections: Tensor | None = None

    def open_at(self, rows: Tensor) -> Latent:
        """With a row of gates for each of S text positions or questions; those not in `rows`, bool [S], are closed."""
        gate = self.log_gate if self.log_gate.ndim == 3 else self.log_gate[:, None]
        return replace(self, log_gate=gate.masked_fill(~rows[None, :, None].to(gate.device), -torch.inf))

    def of_rows(self, rows: Tensor, log_gate: Tensor) -> Latent:
        """Row `rows[i]` as row i, with the gates `log_gate`."""
        detections = None if self.detections is None else self.detections[rows]
        return replace(self, key=self.key[rows], value=self.value[rows], log_gate=log_gate, detections=detections)


LatentCache = Mapping[int, Latent]
"""Latents by block index. A block that is not in the latent cache sees text only; the empty latent cache is the bare LLM."""

# A context variable and not a global: each thread has its own latent cache or none.
_PLUGGED: ContextVar[LatentCache | None] = ContextVar("mmllm_plugged", default=None)


@contextlib.contextmanager
def plugged(latent_cache: LatentCache) -> Iterator[None]:
    """Within this context, in this thread, attached decoders attend to `latent_cache`; a block whose gates are all closed is left
    out.

    Where the decoder's batch is a multiple of the latent cache's (beams, several questions on one frame), each row is repeated in
    place.
    """
    open_blocks = {block: latent for block, latent in latent_cache.items() if not torch.isneginf(latent.log_gate).all()}
    token = _PLUGGED.set(open_blocks)
    try:
        yield
    finally:
        _PLUGGED.reset(token)


_QUERIES: ContextVar[dict[int, Tensor] | None] = ContextVar("mmllm_queries", default=None)


@contextlib.contextmanager
def queries() -> Iterator[dict[int, Tensor]]:
    """Within this context, collects the latest query [B, heads, S, K] of each block that has latents."""
    collected: dict[int, Tensor] = {}
    token = _QUERIES.set(collected)
    try:
        yield collected
    finally:
        _QUERIES.reset(token)


def attach(llm: nn.Module) -> None:
    """Register the attention adapter with `llm` and check with one token that every block uses it. Raises BadInput where not."""
    name = f"{type(llm).__name__} ({llm.config.model_type})"
    count = len(decoder_blocks(llm))
    try:
        llm.set_attn_implementation(IMPLEMENTATION)
        visited = _Visited()
        token = _PLUGGED.set(visited)
        try:
            with torch.inference_mode():
                llm(torch.zeros((1, 1), dtype=torch.long, device=llm.device), use_cache=False)
        finally:
            _PLUGGED.reset(token)
    except (ValueError, NotImplementedError) as error:
        raise BadInput(f"{name} cannot attend to sensors: {one_line(error)}") from error
    if visited.blocks != set(range(count)):
        raise BadInput(
            f"{name} does not dispatch its attention: only blocks {sorted(visited.blocks)} of {count} use the attention adapter, "
            "so sensors cannot be plugged into it"
        )


class _Visited(dict):
    """An empty latent cache that records which blocks look up their latents."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: set[int] = set()

    def get(self, block: int, default: Latent | None = None) -> Latent | None:
        self.blocks.add(block)
        return default


def latent_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options
) -> tuple[Tensor, None]:
    """The registered attention: query [B, heads, S, K], key and value [B, H, S', K], after RoPE and after the text cache."""
    latent_cache = _PLUGGED.get()
    latent = latent_cache.get(module.layer_idx) if latent_cache is not None else None
    if latent is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    collected = _QUERIES.get()
    if collected is not None:
        collected[module.layer_idx] = query
    if attention_mask is None and query.shape[2] > 1:
        # Without a mask the library means plain causal attention over the first S keys (a static cache is longer).
        key, value = key[:, :, : query.shape[2]], value[:, :, : query.shape[2]]
    bias = torch.cat([_latent_bias(latent, query), _text_bias(attention_mask, query, key)], dim=-1)
    key = torch.cat([_repeat(latent.key, query), key], dim=2)
    value = torch.cat([_repeat(latent.value, query), value], dim=2)
    return sdpa_attention_forward(module, query, key, value, bias, **options)


def active_loras(block: int, batch: int) -> Iterator[tuple[nn.Module, Tensor]]:
    """Each LoRA that is plugged into `block`, and the rows that attend to its modality: bool [batch, 1 or S, 1]."""
    latent = (_PLUGGED.get() or {}).get(block)
    for lora, start, stop in latent.lora if latent is not None else ():
        attended = ~torch.isneginf(latent.log_gate[..., start:stop]).all(-1)
        yield lora, _rows(attended if attended.ndim == 2 else attended[:, None], batch)[..., None]


def attending(block: int, batch: int) -> Tensor | None:
    """Which text positions attend to some latent in `block`: bool [batch, 1 or S, 1], None where nothing is plugged there."""
    latent = (_PLUGGED.get() or {}).get(block)
    if latent is None:
        return None
    rows = ~torch.isneginf(latent.log_gate).all(-1)
    return _rows(rows if rows.ndim == 2 else rows[:, None], batch)[..., None]


def attending_from(latent_cache: LatentCache, start: int, length: int) -> dict[int, Latent]:
    """The latents of `latent_cache` for `length` text positions of which those before `start` attend to none of them."""
    return attending_at(latent_cache, torch.arange(length) >= start)


def attending_at(latent_cache: LatentCache, late: Tensor) -> dict[int, Latent]:
    """The latents of `latent_cache` for text positions of which only those in `late`, bool [S], attend to them."""
    return {block: latent.open_at(late) for block, latent in latent_cache.items()}


def with_gates_of(latent_cache: LatentCache, questions: Tensor | int) -> LatentCache:
    """From gates [B, Q, P], one row a question, those of `questions`: an index, or one index a row wanted."""
    return {
        block: replace(latent, log_gate=latent.log_gate[:, questions]) if latent.log_gate.ndim == 3 else latent
        for block, latent in latent_cache.items()
    }


def _repeat(part: Tensor, query: Tensor) -> Tensor:
    """Bring a latent to the batch and dtype of the query."""
    return _rows(part, query.shape[0]).to(query.dtype)


def _rows(part: Tensor, batch: int) -> Tensor:
    """Repeat each row in place (beams of one row are adjacent)."""
    times, rest = divmod(batch, part.shape[0])
    if rest:
        raise ValueError(f"a latent cache of {part.shape[0]} rows does not fit a batch of {batch}")
    return part.repeat_interleave(times, dim=0) if times > 1 else part


def _latent_bias(latent: Latent, query: Tensor) -> Tensor:
    """Log-gates as additive scores [B, 1, S, P]; a gate [B, P] is the same for every text position."""
    gate = _repeat(latent.log_gate, query)
    return gate[:, None] if gate.ndim == 3 else gate[:, None, None].expand(-1, -1, query.shape[2], -1)


def _text_bias(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor:
    """The text mask as additive scores [B, 1, S, S']: None means causal, a boolean mask says what is visible."""
    batch, length, width = query.shape[0], query.shape[2], key.shape[2]
    if mask is not None and mask.dtype != torch.bool:
        return mask.to(query.dtype).expand(batch, 1, length, width)
    bias = query.new_zeros((1, 1, length, width))
    if mask is not None:
        bias = bias.masked_fill(~mask, -torch.inf)
    elif length > 1:
        visible = torch.ones((length, width), dtype=torch.bool, device=query.device).tril()
        bias = bias.masked_fill(~visible, -torch.inf)
    return bias.expand(batch, 1, length, width)


# Both are needed: a decoder whose attention has no mask builder passes no mask, and padding is then attended to.
AttentionInterface.register(IMPLEMENTATION, latent_attention)
AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)
