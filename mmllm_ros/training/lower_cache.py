# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cache of the hidden states below the linked blocks: those blocks are frozen and see text only, so a text is computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..latent.attention_adapter import LatentCache
from ..latent.split_forward import can_split, full_pass, lower_states, upper
from .packing import Packed

KEPT_BYTES = 1 << 29


class LowerCache:
    """States [S, d_model] that enter block `first_block` of `llm`, by token ids; the least recently used is removed first.

    Each new text is computed by itself: in a batch its last bits would depend on the other texts, and a training resumed with an
    empty cache would differ from an uninterrupted one.
    """

    def __init__(self, llm: nn.Module, first_block: int, kept_bytes: int = KEPT_BYTES) -> None:
        self.llm, self.first_block, self.kept_bytes = llm, first_block, kept_bytes
        self._states: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self._bytes = 0

    def logits(self, packed: Packed, latent_cache: LatentCache) -> Tensor:
        """Logits [R, n, vocabulary] at `packed.places`, with `latent_cache`; a decoder that cannot be split is run whole."""
        options = {"positions": packed.places, "position_ids": packed.positions}
        if not can_split(self.llm):
            return full_pass(self.llm, packed.ids, latent_cache, packed.visible, **options)
        rows = [torch.cat(self.states(texts)) for texts in packed.texts]
        return upper(
            self.llm, pad_sequence(rows, batch_first=True), latent_cache, packed.visible, first_block=self.first_block, **options
        )

    @torch.no_grad()
    def states(self, texts: Sequence[tuple[int, ...]]) -> list[Tensor]:
        """The states of each of `texts`."""
        found = []
        for text in texts:
            state = self._states.pop(text, None)
            if state is None:
                state = lower_states(self.llm, torch.tensor([text], device=self.llm.device), first_block=self.first_block)[0]
                self._bytes += state.nbytes
            self._states[text] = state
            found.append(state)
        while self._bytes > self.kept_bytes:
            self._bytes -= self._states.popitem(last=False)[1].nbytes
        return found
