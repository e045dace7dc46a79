# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The answer set as a trie of tokens, packed after the prompt so that one forward pass scores every answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..datatypes import BadInput

UNSETTLED = 1e-3


@dataclass
class _Node:
    children: dict[int, _Node] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)


class AnswerTrie:
    """Exact constrained decoding of a fixed answer set.

    At every fork the next token is chosen among those that lead to an answer, so the log-probability of an answer is the sum over
    its forks of log softmax over the fork's tokens; the distribution sums to 1. Where only one token can follow, its probability
    is 1 and nothing is computed: single-token answers need no token beyond the prompt.

    Args:
        sequences: the token ids of each answer, the end token included, so that none is the beginning of another.
        names: the answers as text, for errors.
    """

    def __init__(self, sequences: Sequence[Sequence[int]], names: Sequence[str]) -> None:
        self.names = list(names)
        root = _Node()
        seen: dict[tuple[int, ...], str] = {}
        for i, (sequence, name) in enumerate(zip(sequences, names, strict=True)):
            if tuple(sequence) in seen:
                raise BadInput(f"the answers {seen[tuple(sequence)]!r} and {name!r} are the same tokens to the LLM")
            seen[tuple(sequence)] = name
            node = root
            for token in sequence:
                node.answers.append(i)
                node = node.children.setdefault(token, _Node())
            node.answers.append(i)
        self.tokens: list[int] = []
        self._parents: list[int] = []
        self._forks: list[tuple[int, list[int], list[int], list[int]]] = []
        self._pack(root, slot=0)
        # The tokens at the forks: the part of the vocabulary whose logits `score` reads.
        self.choices = torch.tensor(sorted({token for _, tokens, _, _ in self._forks for token in tokens}))

    def _pack(self, node: _Node, slot: int) -> bool:
        """Give slots to `node`'s forks, depth first. Slot 0 is the prompt's last token, slot i + 1 is `tokens[i]`."""
        if len(node.children) > 1:
            answers = [(answer, choice) for choice, child in enumerate(node.children.values()) for answer in child.answers]
            self._forks.append((slot, list(node.children), [a for a, _ in answers], [c for _, c in answers]))
        needed = len(node.children) > 1
        for token, child in node.children.items():
            mark = len(self.tokens)
            self.tokens.append(token)
            self._parents.append(slot)
            if self._pack(child, mark + 1):
                needed = True
            else:
                del self.tokens[mark:], self._parents[mark:]
        return needed

    def positions(self, prompt: int) -> Tensor:
        """Positions in the packed sequence whose logits `score` needs: the last token of a prompt of that length, then every
        slot."""
        return torch.arange(prompt - 1, prompt + len(self.tokens))

    def position_ids(self, prompt: int) -> Tensor:
        """Position ids [1, S] of the packed sequence: a slot is one after its parent."""
        places = [prompt - 1]
        for parent in self._parents:
            places.append(places[parent] + 1)
        return torch.tensor([*range(prompt), *places[1:]])[None]

    def mask(self, prompt: int) -> Tensor | None:
        """Boolean [1, 1, S, S]: the prompt is causal, a slot sees the prompt and its ancestors. None = plainly causal."""
        if all(parent == slot for slot, parent in enumerate(self._parents)):
            return None
        size = prompt + len(self.tokens)
        visible = torch.ones((size, size), dtype=torch.bool).tril()
        for i, parent in enumerate(self._parents):
            row = visible[prompt - 1 + parent].clone()
            row[prompt + i] = True
            visible[prompt + i] = row
        return visible[None, None]

    def begin(self, logits: Tensor) -> tuple[Tensor, list[int]]:
        """Logits [vocabulary] at the prompt's last token -> log-probability of each answer [answers] as far as they settle it.

        The second value is the slots that the rest needs.
        First tokens that lead to further forks and have a probability below UNSETTLED together need none: the answers behind such
        a token share it evenly.
        """
        slot, tokens, answers, choices = self._forks[0] if self._forks else (1, [], [], [])
        if slot:
            return logits.new_zeros(len(self.names), dtype=torch.float32), list(range(1, len(self.tokens) + 1))
        choice = logits[tokens].float().log_softmax(-1).cpu()
        leaves = torch.bincount(torch.tensor(choices), minlength=len(tokens))
        ascending = [index for index in choice.argsort().tolist() if leaves[index] > 1]
        rest = choice[ascending].exp().cumsum(0)
        opened = {index for index, together in zip(ascending, rest.tolist(), strict=True) if together >= UNSETTLED}
        for index in opened:
            leaves[index] = 1
        scores = choice.new_zeros(len(self.names))
        scores[answers] = (choice - leaves.log())[choices]
        branches: list[int] = []
        for parent, token in zip(self._parents, self.tokens, strict=True):
            branches.append(branches[parent - 1] if parent else tokens.index(token))
        return scores.to(logits.device), [slot for slot, branch in enumerate(branches, 1) if branch in opened]

    def layout_behind(self, prompt: int, slots: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Position ids [1, n] and mask, bool [1, 1, n, prompt + n], of n slots behind a prompt of that length."""
        depth, visible = [0], torch.eye(len(self.tokens) + 1, dtype=torch.bool)
        for slot, parent in enumerate(self._parents, 1):
            depth.append(depth[parent] + 1)
            visible[slot] |= visible[parent]
        chosen = torch.tensor(slots)
        among = visible[chosen][:, chosen]
        before = torch.ones((len(slots), prompt), dtype=torch.bool)
        return torch.tensor([[prompt - 1 + depth[slot] for slot in slots]]), torch.cat([before, among], dim=1)[None, None]

    def score(self, logits: Tensor, slots: Sequence[int] | None = None, begun: Tensor | None = None) -> Tensor:
        """Logits [slots, vocabulary] at `positions` -> log-probability of each answer [answers], float32.

        With `slots`, the rows are those of these slots, and the forks there are added to `begun`, which `begin` has returned.
        """
        logits = logits.float()
        scores = logits.new_zeros(len(self.names)) if begun is None else begun.clone()
        rows = {slot: row for row, slot in enumerate(range(len(self.tokens) + 1) if slots is None else slots)}
        for slot, tokens, answers, choices in self._forks:
            if slot in rows:
                choice = logits[rows[slot], tokens].log_softmax(-1)
                scores.index_add_(0, torch.tensor(answers, device=logits.device), choice[choices])
        return scores
