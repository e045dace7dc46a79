# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cache of the hidden states below the linked blocks: those blocks are frozen and see text only, so a text is computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..latent.attention_adapter import LatentCache
from ..latent.split_forward import can_split, full_pass, lower_states, upper
from .packing import Packed

KEPT_BYTES = 1 << 29
AT_ONCE = 32
"""Texts of one length in a batch of `prepare`."""


class LowerCache:
    """States [S, d_model] that enter block `first_block` of `llm`, by token ids; the least recently used is removed first.

    `states` computes each new text by itself: in a batch its last bits would depend on the other texts, and a training resumed
    with an empty cache would differ from an uninterrupted one. `prepare` computes a known set of texts in batches, the same
    ones each time.
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

    def clear(self) -> None:
        """Remove the states of all texts."""
        self._states.clear()
        self._bytes = 0

    @torch.no_grad()
    def prepare(self, texts: Iterable[tuple[int, ...]]) -> None:
        """Compute the states of all of `texts`, those of one length together, as far as they fit."""
        by_length: dict[int, list[tuple[int, ...]]] = {}
        for text in dict.fromkeys(texts):
            if text not in self._states:
                by_length.setdefault(len(text), []).append(text)
        for _, alike in sorted(by_length.items()):
            for start in range(0, len(alike), AT_ONCE):
                together = alike[start : start + AT_ONCE]
                ids = torch.tensor(together, device=self.llm.device)
                for text, state in zip(together, lower_states(self.llm, ids, first_block=self.first_block), strict=True):
                    if self._bytes + state.nbytes > self.kept_bytes:
                        return
                    self._states[text] = state.clone()
                    self._bytes += state.nbytes

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
