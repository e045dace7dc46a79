# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Greedy decoding of free text: streamed token by token, and cancelled between two tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from .attention_adapter import LatentCache, attending_from, plugged


class Cancelled(Exception):
    """The client has cancelled the question."""


@torch.inference_mode()
def continue_text(
    llm: nn.Module,
    tokenizer: Any,
    ids: Sequence[int],
    latent_cache: LatentCache,
    limit: int,
    on_text: Callable[[str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    attend_last: int = 0,
) -> tuple[str, float]:
    """At most `limit` tokens after the prompt `ids`, with `latent_cache` plugged: the text and the mean probability of its
    tokens.

    `on_text` gets each new piece; `cancelled` is called before each token, and True raises Cancelled. Only the last
    `attend_last` tokens of the prompt, and what follows, attend to `latent_cache`, 0 = all of them.
    """
    ends = llm.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    text_cache = DynamicCache(config=llm.config)
    row = torch.tensor([list(ids)], device=llm.device)
    prompt_cache = attending_from(latent_cache, len(ids) - attend_last, len(ids)) if attend_last else latent_cache
    generated: list[int] = []
    text = emitted = ""
    log_probability = 0.0
    while len(generated) < limit:
        if cancelled and cancelled():
            raise Cancelled
        with plugged(latent_cache if generated else prompt_cache):
            logits = llm(row, past_key_values=text_cache, use_cache=True, logits_to_keep=1).logits[0, -1].float()
        token = int(logits.argmax())
        log_probability += float(logits.log_softmax(-1)[token])
        generated.append(token)
        if token in ends:
            break
        text = tokenizer.decode(generated, skip_special_tokens=True)
        # A character of several tokens decodes to U+FFFD until its last token is there.
        if on_text and len(text) > len(emitted) and not text.endswith("\ufffd"):
            on_text(text[len(emitted) :])
            emitted = text
        row = torch.tensor([[token]], device=llm.device)
    return text.strip(), math.exp(log_probability / max(1, len(generated)))
