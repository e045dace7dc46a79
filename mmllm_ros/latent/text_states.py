# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a frozen LLM makes of a text whose last positions alone attend to sensors: computed once, whatever is connected.

The earlier positions are the bare LLM's in every block, so their keys and values are kept; of the later ones, the states that
enter the first linked block. Answering computes the linked blocks at the later positions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention_adapter import plugged
from .decoder_blocks import decoder_blocks
from .split_forward import lower_states


class TextKeys:
    """Stands for the library's text cache in a decoder block: `kept` keys and values [B, H, S', K] by block come first.

    `seen` holds the keys and values of the newest pass, [B, H, S, K] by block.
    """

    def __init__(self, kept: Mapping[int, tuple[Tensor, Tensor]]) -> None:
        self.kept = kept
        self.seen: dict[int, tuple[Tensor, Tensor]] = {}

    def update(self, key: Tensor, value: Tensor, block: int) -> tuple[Tensor, Tensor]:
        """Called by the attention of a block with its new keys and values: what it attends to."""
        self.seen[block] = key, value
        if block not in self.kept:
            return key, value
        kept_key, kept_value = self.kept[block]
        return torch.cat([kept_key, key], dim=2), torch.cat([kept_value, value], dim=2)


@dataclass(frozen=True, slots=True)
class TextStates:
    """B texts of one length: `hidden` [B, S - start, d_model] enters the first linked block at the positions from `start` on;
    `keys` and `values` [B, N, H, start, K] are those of the earlier positions in the N linked blocks."""

    hidden: Tensor
    keys: Tensor
    values: Tensor

    @property
    def start(self) -> int:
        """The first position that attends to sensors."""
        return self.keys.shape[3]


@torch.no_grad()
def encode_texts(llm: nn.Module, ids: Tensor, first_block: int, start: int) -> TextStates:
    """Texts of one length, int64 [B, S], of which the positions from `start` on attend to latents."""
    hidden = lower_states(llm, ids, first_block=first_block)
    keys = TextKeys({})
    with plugged({}):
        run_blocks(llm, hidden[:, :start], first_block, torch.arange(start)[None], None, keys)
    linked = range(first_block, len(decoder_blocks(llm)))
    return TextStates(
        hidden[:, start:],
        torch.stack([keys.seen[block][0] for block in linked], dim=1),
        torch.stack([keys.seen[block][1] for block in linked], dim=1),
    )


def run_blocks(
    llm: nn.Module, hidden: Tensor, first_block: int, position_ids: Tensor, mask: Tensor | None, keys: TextKeys
) -> Tensor:
    """Hidden states [B, S, d_model] after the last block, from those that enter `first_block`.

    `mask` is boolean [B, 1, S, S' + S], of the kept keys and the new ones; None = causal, with no kept keys.
    """
    rotation = llm.model.rotary_emb(hidden, position_ids)
    for block in decoder_blocks(llm)[first_block:]:
        hidden = block(hidden, attention_mask=mask, position_ids=position_ids, position_embeddings=rotation, past_key_values=keys)
    return hidden
