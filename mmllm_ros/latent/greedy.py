# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Free text, one token after the other: greedy, streamed, and given up between two tokens when nobody waits for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from .port import Bank, attending_from, plugged


class Cancelled(Exception):
    """The asker no longer wants the answer."""


@torch.inference_mode()
def continue_text(
    llm: nn.Module,
    tokenizer: Any,
    ids: Sequence[int],
    bank: Bank,
    limit: int,
    on_text: Callable[[str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    attend_last: int = 0,
) -> tuple[str, float]:
    """At most `limit` tokens after the prompt `ids`, with `bank` plugged: the text and the mean probability of its tokens.

    `on_text` gets each new piece; `cancelled` is asked before each token, and True raises Cancelled. Only the last
    `attend_last` tokens of the prompt, and what follows, attend to `bank`, 0 = all of them.
    """
    ends = llm.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    cache = DynamicCache(config=llm.config)
    row = torch.tensor([list(ids)], device=llm.device)
    prompt_bank = attending_from(bank, len(ids) - attend_last, len(ids)) if attend_last else bank
    made: list[int] = []
    text = said = ""
    surprise = 0.0
    while len(made) < limit:
        if cancelled and cancelled():
            raise Cancelled
        with plugged(bank if made else prompt_bank):
            logits = llm(row, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, -1].float()
        token = int(logits.argmax())
        surprise -= float(logits.log_softmax(-1)[token])
        made.append(token)
        if token in ends:
            break
        text = tokenizer.decode(made, skip_special_tokens=True)
        # A character of several tokens decodes to the replacement sign until its last one is there.
        if on_text and len(text) > len(said) and not text.endswith("\ufffd"):
            on_text(text[len(said) :])
            said = text
        row = torch.tensor([[token]], device=llm.device)
    return text.strip(), math.exp(-surprise / max(1, len(made)))
