# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which questions about signals a model with a universal encoder answers right, with each of many sets of signals.

The LLM reads each wording once (training/prepared_texts.py), so that a set costs its last blocks only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..datasets.examples import encode
from ..datatypes import Question, Tokens
from ..encoders import Encoder
from ..latent.attention_adapter import LatentCache
from ..latent.connector import merge
from ..model import Model
from ..training.continual.answering import Answering, Asked
from .plan_moments import AskedMoment

AT_ONCE = 64
"""Questions that are scored together."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question of a kind in a context, whether it was answered right, and with what: modalities and number of linked blocks."""

    configuration: tuple[tuple[str, ...], int]
    kind: str
    context: str
    question: Question
    right: bool


def answer_signals(
    model: Model,
    encoders: Mapping[str, Encoder],
    moments: Iterable[AskedMoment],
    configurations: Sequence[tuple[tuple[str, ...], int]],
    needs: Mapping[str, tuple[str, ...]],
) -> Iterator[Answered]:
    """Every question with nothing connected, and with each set that has a modality which suffices for its kind (`needs`).

    Questions whose answer the model does not have are left out. Raises BadInput for a model that attends to sensors from the
    first token on, and for a word that it does not know.
    """
    tokens: list[tuple[Tokens, ...]] = []
    asked: list[tuple[int, str, str, Question]] = []
    for moment in moments:
        for question, kind in zip(moment.questions, moment.kinds, strict=True):
            if question.answer in model.answers:
                asked.append((len(tokens), kind, moment.context, question))
        tokens.append(encode(encoders, moment.pairs))
    table = _stacked(tokens)
    samples = [Asked(row, question.question, question.answer) for row, _, _, question in asked]
    answering = Answering(model, samples, model.linked_blocks)
    for kept, depth in configurations:
        chosen = [number for number, one in enumerate(asked) if not kept or set(kept) & set(needs[one[1]])]
        for start in range(0, len(chosen), AT_ONCE):
            part = chosen[start : start + AT_ONCE]
            latent_cache = _latents(model, table, kept, depth, torch.tensor([asked[number][0] for number in part]))
            with torch.inference_mode():
                right = answering.loss(part, latent_cache)[1].tolist()
            for number, good in zip(part, right, strict=True):
                _, kind, context, question = asked[number]
                yield Answered((kept, depth), kind, context, question, good)


def _stacked(moments: Sequence[Sequence[Tokens]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Values [N, P, W] and places [N, P, 3] of all moments by modality; each has one source."""
    values: dict[str, list[Tensor]] = {}
    places: dict[str, list[Tensor]] = {}
    for tokens in moments:
        for item in tokens:
            values.setdefault(item.modality, []).append(torch.from_numpy(item.values))
            places.setdefault(item.modality, []).append(torch.from_numpy(item.places))
    return {name: (torch.stack(values[name]), torch.stack(places[name])) for name in values}


@torch.inference_mode()
def _latents(
    model: Model, table: Mapping[str, tuple[Tensor, Tensor]], kept: Sequence[str], depth: int, rows: Tensor
) -> LatentCache:
    caches = {}
    for modality in kept:
        values, places = (part[rows] for part in table[modality])
        sources = torch.zeros(values.shape[1], dtype=torch.long)
        connector = model.connectors[modality]
        caches[modality] = connector(values, places, linked_blocks=min(depth, len(connector.heads)), sources=sources)
    return merge(caches)
