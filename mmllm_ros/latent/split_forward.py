# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The forward pass of a decoder in two parts: the blocks below the linked ones see text only, so their output is cached by text.

    hidden = lower_states(llm, input_ids, attention_mask, first_block=3)         # once for a text
    logits = upper(llm, hidden, latent_cache, attention_mask, first_block=3, positions)  # for each text and latent cache

Both run the library's own modules in the library's order, so `upper(lower_states(...))` equals the full pass, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.masking_utils import create_causal_mask

from .attention_adapter import LatentCache, plugged

SPLITTABLE = ("llama", "qwen2", "qwen3", "smollm3")
"""Model types whose forward pass is embedding, rotary positions, blocks, norm and head, and nothing else."""


def can_split(llm: nn.Module) -> bool:
    """Whether `llm` can be run in two parts; where not, use `full_pass`."""
    layers = getattr(llm.config, "layer_types", None) or ["full_attention"]
    return llm.config.model_type in SPLITTABLE and set(layers) == {"full_attention"}


def lower_states(
    llm: nn.Module,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    first_block: int,
    position_ids: Tensor | None = None,
    keys: object | None = None,
) -> Tensor:
    """Hidden states [B, S, d_model] that enter block `first_block`.

    `input_ids` is int64 [B, S]; `attention_mask` is [B, S] (1 = text, 0 = padding) or a boolean [B, 1, S, S] of which position
    attends to which; `position_ids` [1 or B, S] counts from 0 where it is left out. `keys`, a new TextKeys (text_states.py), gets
    the keys and values of each block.
    """
    with plugged({}):
        return run_blocks(llm, llm.model.embed_tokens(input_ids), attention_mask, position_ids, slice(0, first_block), keys)


def upper(
    llm: nn.Module,
    hidden: Tensor,
    latent_cache: LatentCache,
    attention_mask: Tensor | None = None,
    *,
    first_block: int,
    positions: Tensor,
    position_ids: Tensor | None = None,
    keys: object | None = None,
    tokens: Tensor | None = None,
) -> Tensor:
    """Logits [B, n, vocabulary] at `positions`, int64 [n] or [B, n], from the states that enter `first_block`, `latent_cache`
    plugged. `keys` as in `lower_states`, `tokens` as in `head`."""
    if min(latent_cache, default=first_block) < first_block:
        raise ValueError(f"the latent cache links block {min(latent_cache)}, below the first block that is run, {first_block}")
    with plugged(latent_cache):
        hidden = run_blocks(llm, hidden, attention_mask, position_ids, slice(first_block, None), keys)
    return head(llm, _at(hidden, positions), tokens)


def head(llm: nn.Module, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
    """Logits [..., vocabulary] of states after the last block; with `tokens`, int64 [t], float32 and minus infinity but there."""
    hidden = llm.model.norm(hidden)
    if tokens is None:
        return llm.lm_head(hidden)
    # A head of 49,152 rows takes longer than a block. A logit in bfloat16 would be rounded to an eighth.
    some = functional.linear(hidden.float(), llm.lm_head.weight[tokens].float())
    return some.new_full((*some.shape[:-1], llm.lm_head.out_features), -torch.inf).index_copy_(-1, tokens, some)


def full_pass(
    llm: nn.Module,
    input_ids: Tensor,
    latent_cache: LatentCache,
    attention_mask: Tensor | None = None,
    *,
    positions: Tensor,
    position_ids: Tensor | None = None,
) -> Tensor:
    """The result of `upper` of `lower_states` for any attached decoder, with all blocks computed."""
    with plugged(latent_cache):
        output = llm.base_model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False)
    return llm.get_output_embeddings()(_at(output.last_hidden_state, positions))


def _at(hidden: Tensor, positions: Tensor) -> Tensor:
    """Rows of hidden [B, S, d_model] at positions [n] or [B, n]."""
    if positions.ndim == 1:
        return hidden[:, positions]
    return hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))


def run_blocks(
    llm: nn.Module,
    hidden: Tensor,
    attention_mask: Tensor | None,
    position_ids: Tensor | None,
    blocks: slice,
    keys: object | None = None,
) -> Tensor:
    """Hidden states [B, S, d_model] after `blocks`."""
    decoder = llm.model
    if position_ids is None:
        position_ids = torch.arange(hidden.shape[1], device=hidden.device)[None]
    mask = create_causal_mask(
        config=decoder.config,
        inputs_embeds=hidden,
        attention_mask=attention_mask,
        past_key_values=None,
        position_ids=position_ids,
    )
    rotation = decoder.rotary_emb(hidden, position_ids)
    for block in decoder.layers[blocks]:
        hidden = block(hidden, attention_mask=mask, position_ids=position_ids, position_embeddings=rotation, past_key_values=keys)
    return hidden
