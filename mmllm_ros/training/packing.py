# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Packs the questions about one frame into one row: little padding, and the latents of a frame are stored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

PARTS = 4
"""Rows of a step are grouped by length into so many batches."""

Pair = tuple[list[int], list[int]]
"""Token ids of a prompt, and of its answer with the end token."""


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Rows of unequal length as one tensor, padded on the right."""
    size = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (size - len(row))] for row in rows])


def read_text(pair: Pair) -> tuple[int, ...]:
    """The input of teacher forcing: the prompt and the answer without its last token."""
    return (*pair[0], *pair[1][:-1])


@dataclass(frozen=True, slots=True)
class Packed:
    """R rows of S tokens, one frame each; a text token attends only to earlier tokens of its own question.

    `frames` [R] numbers the frames; `ids` and `positions` [R, S] are token ids and their positions in their questions; `owner`
    [R, S] is the number of a token's question, -1 for padding. `places` [R, n] are the tokens whose successor is predicted,
    `targets` [R, n] those successors, -100 beyond a row's end. `texts` are the token ids of each row's questions.
    """

    frames: Tensor
    ids: Tensor
    positions: Tensor
    owner: Tensor
    places: Tensor
    targets: Tensor
    texts: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def visible(self) -> Tensor:
        """The attention mask: bool [R, 1, S, S]."""
        size = self.ids.shape[1]
        same = self.owner[:, :, None] == self.owner[:, None, :]
        return (same & torch.ones(size, size, dtype=torch.bool, device=self.ids.device).tril())[:, None]

    def attending(self, last: int) -> Tensor:
        """Which tokens are among the `last` of their question's prompt, or come after it: bool [R, S]; 0 = all of them."""
        index = torch.arange(self.ids.shape[1], device=self.ids.device).expand_as(self.ids)
        if not last:
            return torch.ones_like(index, dtype=torch.bool)
        questions = self.owner.gather(1, self.places).masked_fill(self.targets < 0, self.owner.max() + 1)
        ends = self.places.new_full((int(self.owner.max()) + 2,), self.ids.shape[1])
        ends = ends.scatter_reduce(0, questions.flatten(), self.places.flatten(), "amin")
        return (self.owner >= 0) & (index > ends[self.owner.clamp(min=0)] - last)


def pack(pairs: Sequence[Pair], frame: Sequence[int], pad: int, device: torch.device, parts: int = PARTS) -> list[Packed]:
    """Lay out question i, about frame `frame[i]`, with the others about that frame, in `parts` groups of similar length."""
    rows: dict[int, list[int]] = {}
    for index, number in enumerate(frame):
        rows.setdefault(int(number), []).append(index)
    ordered = sorted(rows, key=lambda number: sum(len(read_text(pairs[index])) for index in rows[number]))
    groups = (part.tolist() for part in np.array_split(ordered, parts) if len(part))
    return [_lay_out(pairs, {number: rows[number] for number in group}, pad, device) for group in groups]


def _lay_out(pairs: Sequence[Pair], rows: dict[int, list[int]], pad: int, device: torch.device) -> Packed:
    ids, positions, owner, places, targets, kept = [], [], [], [], [], []
    for members in rows.values():
        texts = [read_text(pairs[index]) for index in members]
        starts = np.cumsum([0, *map(len, texts)]).tolist()
        kept.append(tuple(texts))
        ids.append([token for text in texts for token in text])
        positions.append([place for text in texts for place in range(len(text))])
        owner.append([index for index, text in zip(members, texts, strict=True) for _ in text])
        lengths = [(len(pairs[index][0]) - 1, len(pairs[index][1])) for index in members]
        places.append([start + last + k for start, (last, count) in zip(starts, lengths, strict=False) for k in range(count)])
        targets.append([token for index in members for token in pairs[index][1]])
    tables = ((ids, pad), (positions, 0), (owner, -1), (places, 0), (targets, -100))
    laid = (padded(table, filler).to(device) for table, filler in tables)
    return Packed(torch.tensor(list(rows), device=device), *laid, tuple(kept))


def packed_loss(logits: Tensor, packed: Packed) -> tuple[Tensor, int]:
    """Sum of the questions' cross-entropies from logits [R, n, vocabulary], and the number with all tokens right."""
    targets = packed.targets
    value = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100, reduction="sum")
    return value, sum(map(len, packed.texts)) - len(wrong_questions(logits, packed))


def wrong_questions(logits: Tensor, packed: Packed) -> Tensor:
    """The numbers of the questions with a token that is not the most probable one: int64 [wrong]."""
    wrong = (logits.argmax(-1) != packed.targets) & (packed.targets >= 0)
    return packed.owner.gather(1, packed.places)[wrong].unique()
