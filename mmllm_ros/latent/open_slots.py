# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scores an answer set with a large LLM: a pass over the prompt, then one over the slots of the answer tree that it leaves open.

Most questions are settled by the first token of the answer. Where they are not, the second pass has a few tokens: it attends to
the keys and values that the first one has computed. The head is computed for the tokens at the tree's forks only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .answer_trie import AnswerTrie
from .attention_adapter import LatentCache, attending_from, plugged
from .split_forward import head, lower_states, upper
from .text_states import TextKeys, run_blocks


@dataclass(frozen=True, slots=True)
class PromptStates:
    """What the blocks below `first_block` make of a prompt: `hidden` [1, S, d_model] and the keys and values of each block."""

    hidden: Tensor
    keys: dict[int, tuple[Tensor, Tensor]]


def encode_prompt(llm: nn.Module, ids: list[int], first_block: int) -> PromptStates:
    """The states of a prompt, the same whatever is connected from `first_block` on."""
    keys = TextKeys({})
    hidden = lower_states(llm, torch.tensor([ids], device=llm.device), first_block=first_block, keys=keys)
    return PromptStates(hidden, keys.seen)


def score_answers(
    llm: nn.Module, trie: AnswerTrie, prompt: PromptStates, latent_cache: LatentCache, first_block: int, attend_last: int
) -> Tensor:
    """Log-probability of each answer [answers], of which the last `attend_last` tokens of the prompt attend to `latent_cache`."""
    length, device = prompt.hidden.shape[1], llm.device
    tokens, keys = trie.choices.to(device), TextKeys({})
    logits = upper(
        llm,
        prompt.hidden,
        attending_from(latent_cache, length - attend_last, length),
        first_block=first_block,
        positions=torch.tensor([length - 1], device=device),
        keys=keys,
        tokens=tokens,
    )
    scores, slots = trie.begin(logits[0, 0])
    if not slots:
        return scores
    hidden = llm.model.embed_tokens(torch.tensor([[trie.tokens[slot - 1] for slot in slots]], device=device))
    places, mask = trie.layout_behind(length, slots)
    with plugged(latent_cache):
        hidden = run_blocks(llm, hidden, 0, places.to(device), mask.to(device), TextKeys({**prompt.keys, **keys.seen}))
    return trie.score(head(llm, hidden, tokens)[0], slots, scores)
