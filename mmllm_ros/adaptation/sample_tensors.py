# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled samples as tensors, one row per question: outputs of the frozen parts are computed once, before the first step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..latent.attention_adapter import LatentCache
from ..latent.connector import Connector
from ..latent.decoder_blocks import decoder_blocks
from ..latent.split_forward import can_split
from ..model import Model, joined
from ..training.connectors import packed_latent_cache
from ..training.lower_cache import LowerCache
from ..training.packing import Packed, pack, packed_loss, read_text
from ..training.prepared_texts import forks
from .cross_modal_distillation import distillation_loss, matches
from .samples import LabelledSample

BATCH = 64
DISTILLATION_WEIGHT = 2.0
"""Weight of the distillation loss relative to that of the answers."""
TEMPERATURES = (1.0, 1.2, 1.4, 1.7, 2.0)
"""Validation evaluates the loss at these temperatures and takes the lowest."""
ALL_MODALITIES = 0.5
"""Share of training questions with all modalities connected; in the others each non-learner is connected with probability 0.5."""


class SampleTensors:
    """R samples of M moments (sets of tokens).

    Args:
        model: frozen LLM and connectors; those of the learners are given with each call.
        samples: usable ones.
        learners: the modalities that train, always connected. Those that `model` does not have are distilled from existing ones.
    """

    def __init__(self, model: Model, samples: Sequence[LabelledSample], learners: Sequence[str]) -> None:
        self.model, self.learners = model, tuple(learners)
        moments = list({id(sample.tokens): sample.tokens for sample in samples}.values())
        number = {id(tokens): index for index, tokens in enumerate(moments)}
        self.moment = torch.tensor([number[id(sample.tokens)] for sample in samples])
        self.teachers = [sample.teachers for sample in samples]
        known = {*model.connectors, *learners}
        self.tokens = {modality: _padded(moments, modality) for modality in sorted(known) if _there(moments, modality)}
        self.matched = {
            (learner, other): matches(*self.tokens[learner][1:3], *self.tokens[other][1:3])
            for learner in set(self.learners) - {*model.connectors}
            for other in sorted(self.tokens.keys() - set(self.learners))
        }
        self.pairs = [(model.prompt.question_ids(sample.question), model.prompt.answer_ids(sample.answer)) for sample in samples]
        # A pretrained LLM would rather say something else than any answer; the loss of a small one is over all its words.
        self.choices = _choices(model) if model.attend_last else {}
        self.texts = LowerCache(model.llm, len(decoder_blocks(model.llm)) - model.linked_blocks)
        if can_split(model.llm):
            self.texts.prepare(map(read_text, self.pairs))

    def __len__(self) -> int:
        return len(self.moment)

    def distil_only(self, learners: Collection[str]) -> None:
        """Distil to these of the learners only; a warm-started connector needs no distillation."""
        self.matched = {pair: found for pair, found in self.matched.items() if pair[0] in learners}

    def draw_visible(self, rows: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        """Which modalities are connected for each of `rows` in training: bool [rows] by modality."""
        everything = rng.random(len(rows)) < ALL_MODALITIES
        return {
            modality: torch.from_numpy(everything | (rng.random(len(rows)) < 0.5) | (modality in self.learners))
            for modality in self.tokens
        }

    def validation_visible(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Which modalities are connected for each of `rows` in validation: all but the sample's teachers."""
        return {
            modality: torch.tensor([modality in self.learners or modality not in self.teachers[row] for row in rows])
            for modality in self.tokens
        }

    def latent_caches(self, learning: Mapping[str, Connector], moments: Tensor, depth: int) -> dict[str, LatentCache]:
        """Latents of each modality at `moments`; learners link `depth` of the last blocks."""
        latent_caches = {}
        for modality, parts in self.tokens.items():
            values, places, valid, sources = (part[moments].to(self.model.llm.device) for part in parts)
            connector = learning[modality] if modality in learning else self.model.connectors[modality]
            reach = min(depth, len(connector.heads)) if modality in learning else None
            latent_caches[modality] = connector(values, places, valid, linked_blocks=reach, sources=sources)
        return latent_caches

    def loss(
        self,
        latent_caches: Mapping[str, LatentCache],
        rows: np.ndarray,
        row: Tensor,
        seen: Mapping[str, Tensor],
        temperatures: Sequence[float] = (1.0,),
    ) -> tuple[Tensor, float]:
        """Mean cross-entropy of the answers of `rows` at each of `temperatures` [n], and the share of right answers.

        `row` is the index of each row's moment in `latent_caches`, `seen` which modalities are connected.
        """
        device = self.model.llm.device
        seen = {modality: flags.to(device) for modality, flags in seen.items()}
        value, right = torch.zeros(len(temperatures), device=device), 0
        for packed in pack([self.pairs[index] for index in rows], row.tolist(), self.model.tokenizer.pad_token_id or 0, device):
            logits = self.texts.logits(packed, packed_latent_cache(latent_caches, packed, seen, self.model.attend_last))
            logits = self._of_choices(logits, packed, rows)
            losses, counts = zip(*(packed_loss(logits / temperature, packed) for temperature in temperatures), strict=True)
            value, right = value + torch.stack(losses), right + counts[0]
        return value / len(rows), right / len(rows)

    def _of_choices(self, logits: Tensor, packed: Packed, rows: np.ndarray) -> Tensor:
        """Logits [R, n, vocabulary] with minus infinity for tokens that lead to no answer of the answer set (answer_trie.py)."""
        if not self.choices:
            return logits
        closed = torch.zeros(logits.shape, dtype=torch.bool)
        owner, used = packed.owner.gather(1, packed.places).tolist(), (packed.targets >= 0).tolist()
        for row, places in enumerate(owner):
            place_of_answer: Counter[int] = Counter()
            for place, question in enumerate(places):
                if used[row][place]:
                    answer = self.pairs[rows[question]][1]
                    closed[row, place] = True
                    closed[row, place, self.choices[tuple(answer)][place_of_answer[question]]] = False
                    place_of_answer[question] += 1
        return logits.masked_fill(closed.to(logits.device), -torch.inf)

    def training_loss(
        self, learning: Mapping[str, Connector], rows: np.ndarray, rng: np.random.Generator, depth: int
    ) -> tuple[Tensor, float]:
        """Loss of a training step on `rows`, answers plus distillation, and the share of right answers."""
        moments, row = self.moment[rows].unique(return_inverse=True)
        latent_caches = self.latent_caches(learning, moments, depth)
        value, right = self.loss(latent_caches, rows, row, self.draw_visible(rows, rng))
        pairs = {pair: matched[moments] for pair, matched in self.matched.items()}
        return value.squeeze(0) + DISTILLATION_WEIGHT * distillation_loss(latent_caches, pairs), right

    @torch.no_grad()
    def validate(self, learning: Mapping[str, Connector], depth: int, most: int | None = None) -> tuple[float, float]:
        """Mean loss and share of right answers over all rows, or the first `most`, with `validation_visible`.

        The loss is the lowest over TEMPERATURES, so that weights are not preferred merely for lower confidence.
        """
        total, chosen = np.zeros(len(TEMPERATURES) + 1), np.arange(len(self))[:most]
        for rows in np.array_split(chosen, -(-len(chosen) // BATCH)):
            moments, row = self.moment[rows].unique(return_inverse=True)
            losses, right = self.loss(
                self.latent_caches(learning, moments, depth), rows, row, self.validation_visible(rows), TEMPERATURES
            )
            total += len(rows) * np.array([*losses.tolist(), right])
        *losses, right = (total / len(chosen)).tolist()
        return min(losses), right


def _choices(model: Model) -> dict[tuple[int, ...], list[list[int]]]:
    """For each answer of the answer set, by its token ids, the tokens that may stand at each of its places."""
    answers = [model.prompt.answer_ids(answer) for answer in model.answers]
    found = {}
    for answer, at in zip(answers, forks(answers), strict=True):
        among = {fork.after: list(fork.tokens) for fork in at}
        found[tuple(answer)] = [among.get(place, [token]) for place, token in enumerate(answer)]
    return found


def _there(moments: Sequence[tuple], modality: str) -> bool:
    return any(tokens.modality == modality for moment in moments for tokens in moment)


def _padded(moments: Sequence[tuple], modality: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values [M, T, D], places [M, T, 3], which of them are valid, bool [M, T], and the numbers of their sources, int64 [M, T];
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
