# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lessons as tensors, a question a row: what the frozen parts make of them is computed once, before the first step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..latent.connector import Connector
from ..latent.decoder import decoder_blocks
from ..latent.lower import can_split
from ..latent.port import Bank
from ..model import Model, joined
from ..training.connectors import packed_bank
from ..training.lower_cache import LowerCache
from ..training.packing import pack, packed_loss, read_text
from .agreement import disagreement, matches
from .lessons import Lesson

AT_ONCE = 64
AGREEMENT = 2.0
"""Weight of the disagreement with siblings beside the answers."""
TEMPERATURES = (1.0, 1.2, 1.4, 1.7, 2.0)
"""An examination looks at answers as they are, and as they would be if they were less sure."""
EVERYTHING = 0.5
"""Share of questions that see all modalities; the others see the learners and each other modality with even odds."""


class Rows:
    """R lessons about M moments.

    Args:
        model: frozen LLM and connectors; those of the learners are given with each call.
        lessons: usable ones.
        learners: the modalities that train; a question sees at least them. Those that `model` does not know listen to siblings.
    """

    def __init__(self, model: Model, lessons: Sequence[Lesson], learners: Sequence[str]) -> None:
        self.model, self.learners = model, tuple(learners)
        moments = list({id(lesson.tokens): lesson.tokens for lesson in lessons}.values())
        number = {id(tokens): index for index, tokens in enumerate(moments)}
        self.moment = torch.tensor([number[id(lesson.tokens)] for lesson in lessons])
        self.taught_by = [lesson.teachers for lesson in lessons]
        known = {*model.connectors, *learners}
        self.tokens = {modality: _padded(moments, modality) for modality in sorted(known) if _there(moments, modality)}
        self.matched = {
            (learner, other): matches(*self.tokens[learner][1:3], *self.tokens[other][1:3])
            for learner in set(self.learners) - {*model.connectors}
            for other in sorted(self.tokens.keys() - set(self.learners))
        }
        self.pairs = [(model.prompt.question_ids(lesson.question), model.prompt.answer_ids(lesson.answer)) for lesson in lessons]
        self.texts = LowerCache(model.llm, len(decoder_blocks(model.llm)) - model.linked_blocks)
        if can_split(model.llm):
            self.texts.states([read_text(pair) for pair in self.pairs])

    def __len__(self) -> int:
        return len(self.moment)

    def listen(self, learners: Collection[str]) -> None:
        """Let only these of the learners listen to siblings; who has inherited speaks as they do."""
        self.matched = {pair: found for pair, found in self.matched.items() if pair[0] in learners}

    def draw_seen(self, rows: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        """What each of `rows` sees while training: bool [rows] by modality."""
        everything = rng.random(len(rows)) < EVERYTHING
        return {
            modality: torch.from_numpy(everything | (rng.random(len(rows)) < 0.5) | (modality in self.learners))
            for modality in self.tokens
        }

    def examined(self, rows: np.ndarray) -> dict[str, Tensor]:
        """What each of `rows` sees in an examination: everything, but nobody copies from the teacher."""
        return {
            modality: torch.tensor([modality in self.learners or modality not in self.taught_by[row] for row in rows])
            for modality in self.tokens
        }

    def banks(self, learning: Mapping[str, Connector], moments: Tensor, depth: int) -> dict[str, Bank]:
        """What each modality says at `moments`; learners link `depth` of the last blocks."""
        banks = {}
        for modality, parts in self.tokens.items():
            values, places, valid, sources = (part[moments].to(self.model.llm.device) for part in parts)
            connector = learning[modality] if modality in learning else self.model.connectors[modality]
            reach = min(depth, len(connector.heads)) if modality in learning else None
            # A frozen connector needs no gradient, and autograd sees that by itself.
            banks[modality] = connector(values, places, valid, linked_blocks=reach, sources=sources)
        return banks

    def loss(
        self,
        banks: Mapping[str, Bank],
        rows: np.ndarray,
        row: Tensor,
        seen: Mapping[str, Tensor],
        temperatures: Sequence[float] = (1.0,),
    ) -> tuple[Tensor, float]:
        """Mean cross-entropy of the answers of `rows` at each of `temperatures` [n], and the share of right ones.

        `row` says where in `banks` each looks.
        """
        device = self.model.llm.device
        seen = {modality: flags.to(device) for modality, flags in seen.items()}
        value, right = torch.zeros(len(temperatures), device=device), 0
        for packed in pack([self.pairs[index] for index in rows], row.tolist(), self.model.tokenizer.pad_token_id or 0, device):
            logits = self.texts.logits(packed, packed_bank(banks, packed, seen, self.model.attend_last))
            losses, counts = zip(*(packed_loss(logits / temperature, packed) for temperature in temperatures), strict=True)
            value, right = value + torch.stack(losses), right + counts[0]
        return value / len(rows), right / len(rows)

    def lesson(
        self, learning: Mapping[str, Connector], rows: np.ndarray, rng: np.random.Generator, depth: int
    ) -> tuple[Tensor, float]:
        """What a training step on `rows` minimises: wrong answers, and disagreement with trained siblings."""
        moments, row = self.moment[rows].unique(return_inverse=True)
        banks = self.banks(learning, moments, depth)
        value, right = self.loss(banks, rows, row, self.draw_seen(rows, rng))
        pairs = {pair: matched[moments] for pair, matched in self.matched.items()}
        return value.squeeze(0) + AGREEMENT * disagreement(banks, pairs), right

    @torch.no_grad()
    def examine(self, learning: Mapping[str, Connector], depth: int, most: int | None = None) -> tuple[float, float]:
        """Mean loss and share of right answers over all rows, or the first `most`, as `examined`.

        The loss is that at the temperature that suits it best: to be less wrong is not the same as to be less sure.
        """
        total, chosen = np.zeros(len(TEMPERATURES) + 1), np.arange(len(self))[:most]
        for rows in np.array_split(chosen, -(-len(chosen) // AT_ONCE)):
            moments, row = self.moment[rows].unique(return_inverse=True)
            losses, right = self.loss(self.banks(learning, moments, depth), rows, row, self.examined(rows), TEMPERATURES)
            total += len(rows) * np.array([*losses.tolist(), right])
        *losses, right = (total / len(chosen)).tolist()
        return min(losses), right


def _there(moments: Sequence[tuple], modality: str) -> bool:
    return any(tokens.modality == modality for moment in moments for tokens in moment)


def _padded(moments: Sequence[tuple], modality: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values [M, T, D], places [M, T, 3], which of them are there, bool [M, T], and the numbers of their sources, int64 [M, T];
    sources in order, as the model reads them."""
    kept = [[t for t in moment if t.modality == modality] for moment in moments]
    size = max(sum(len(t.values) for t in tokens) for tokens in kept)
    width = next(t.values.shape[1] for tokens in kept for t in tokens)
    values, places = torch.zeros(len(kept), size, width), torch.zeros(len(kept), size, 3)
    valid, sources = torch.zeros(len(kept), size, dtype=torch.bool), torch.zeros(len(kept), size, dtype=torch.int64)
    for index, tokens in enumerate(kept):
        if tokens:
            parts = joined(tokens)
            for table, part in zip((values, places, sources), parts, strict=True):
                table[index, : len(part)] = part
            valid[index, : len(parts[0])] = True
    return values, places, valid, sources
