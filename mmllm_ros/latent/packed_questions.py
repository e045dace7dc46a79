# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several questions behind each other in one row, each with slots of the answer tree behind it: one forward pass for all.

A question attends to its own tokens and to the sensors only, so it has the logits that it has alone, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .answer_trie import AnswerTrie

Text = tuple[tuple[int, ...], tuple[int, ...]]
"""The token ids of a prompt, and the slots of the answer tree that follow it."""


@dataclass(frozen=True, slots=True)
class PackedQuestions:
    """Q texts of S tokens in all.

    `ids` and `position_ids` [1, S]; `mask` bool [1, 1, S, S], which token attends to which; `owner` [S] is the number of a
    token's text, `late` bool [S] whether it attends to sensors. `ends` has, for each text, the places whose logits are wanted:
    the last token of its prompt, then its slots.
    """

    ids: Tensor
    position_ids: Tensor
    mask: Tensor
    owner: Tensor
    late: Tensor
    ends: list[list[int]]


def pack_questions(trie: AnswerTrie, texts: Sequence[Text], attend_last: int, device: torch.device) -> PackedQuestions:
    """Pack `texts`; the last `attend_last` tokens of a prompt, and what follows, attend to sensors, 0 = all of them."""
    ids: list[int] = []
    places, masks, owner, late, ends = [], [], [], [], []
    for number, (prompt, slots) in enumerate(texts):
        length, start = len(prompt), len(ids)
        visible = torch.ones(length + len(slots), length + len(slots), dtype=torch.bool).tril()
        places.append(torch.arange(length))
        if slots:
            behind, visible_behind = trie.layout_behind(length, slots)
            places.append(behind[0])
            visible[length:] = visible_behind[0, 0]
        ids += [*prompt, *(trie.tokens[slot - 1] for slot in slots)]
        masks.append(visible)
        owner += [number] * len(visible)
        late += [not attend_last or at >= length - attend_last for at in range(len(visible))]
        ends.append(list(range(start + length - 1, len(ids))))
    return PackedQuestions(
        torch.tensor([ids], device=device),
        torch.cat(places)[None].to(device),
        torch.block_diag(*masks)[None, None].to(device),
        torch.tensor(owner),
        torch.tensor(late),
        ends,
    )
