# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trains a modality pack and its connector from questions about the signals of this modality alone.

Backbone, projection, older packs and the LLM are frozen, so answers that do not use the new modality stay the same bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...datatypes import BadInput
from ...encoders.universal.packs import LONGEST_QUESTION, MOST_QUESTIONS, Pack, Packs
from ...io.atomic_write import atomic_folder
from ...latent.attention_adapter import LatentCache
from ...latent.connector import Connector
from ...latent.pack_connectors import save_pack_connector
from ...model import Model
from ..loop import Schedule, Watch, fast, fit
from .answering import Answering, Asked
from .labelled_signals import LabelledSignals

VALIDATION = 5
"""One of so many scenes is held out for validation."""
LEAST = 10
"""Fewer questions, for training or validation, are refused."""
EVALUATED_AT_ONCE = 64
CARD = """# Modality pack {name}

For {kind} signals of size {size}, named {name}: tokenizer, maps and tokens of the projection, and adapters of rank {rank}{older},
for the universal encoder of revision `{encoder}`. `connector/` reads its tokens into the LLM of revision `{llm}`.
{parameters:,} parameters were trained on {training} questions; encoder, LLM and older packs stayed as they were.

Of {held} questions about scenes that were not trained on, {right:.1f} % are answered right; the most frequent answer of each
question is right for {blind:.1f} %.
"""


class PackLearner(nn.Module):
    """A pack, which `packs` has, and its connector: what trains, and nothing else."""

    def __init__(self, packs: Packs, pack: Pack, connector: Connector) -> None:
        super().__init__()
        packs.encoder.requires_grad_(False)
        self.pack, self.connector = pack.requires_grad_(True), connector.requires_grad_(True)
        self._packs = packs

    def latents(self, tensors: Tensor, views: Tensor, generator: torch.Generator | None = None) -> LatentCache:
        """Tensors [B, ...] of the signals and their views [B, 2] -> the latents of B rows; the gate is noisy with a generator."""
        encoder, modality = self._packs.encoder, self.pack.modality
        adapt = partial(self.pack.adapters, generator=generator)
        return self.connector(*encoder.project(modality, encoder.features(modality, tensors), views, adapt))


@dataclass(frozen=True, slots=True)
class PackFigures:
    """Shares of right answers on held-out scenes: with the new modality, and of the most frequent answer of each question in
    training; the numbers of questions, and of trained parameters."""

    right: float
    blind: float
    training_questions: int
    held_questions: int
    parameters: int


def train_pack(
    model: Model,
    packs: Packs,
    pack: Pack,
    connector: Connector,
    labelled: LabelledSignals,
    schedule: Schedule,
    batch: int,
    folder: Path,
    seed: int = 0,
    watch: Watch | None = None,
) -> PackFigures:
    """Add `pack` to `packs` and train it with `connector`, `batch` questions a step; an interrupted training resumes in `folder`.

    Raises BadInput for too few questions, and what Answering refuses.
    """
    train, held = split_rows(labelled)
    answering = Answering(model, labelled.asked, len(connector.heads))
    pack.manifest = dataclasses.replace(pack.manifest, questions=frequent_questions(labelled.asked, train))
    packs.add(pack)
    learner = PackLearner(packs, pack, connector)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = rng.choice(train, min(batch, len(train)), replace=False).tolist()
        samples = torch.tensor([labelled.asked[row].sample for row in rows])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        value, right = answering.loss(rows, learner.latents(labelled.tensors[samples], labelled.views[samples], generator))
        return value, {"right": float(right.float().mean())}

    fit(pack.modality, learner, loss, schedule, folder, seed, watch)
    learner.requires_grad_(False)
    return PackFigures(
        float(answered(learner.latents, answering, labelled, held).float().mean()),
        blind_share(labelled.asked, train, held),
        len(train),
        len(held),
        sum(value.numel() for value in learner.parameters()),
    )


@torch.no_grad()
def answered(
    latents: Callable[[Tensor, Tensor], LatentCache], answering: Answering, labelled: LabelledSignals, rows: Sequence[int]
) -> Tensor:
    """Which of the questions `rows` are answered right, bool [rows]; `latents` as `PackLearner.latents`."""
    found = []
    for start in range(0, len(rows), EVALUATED_AT_ONCE):
        part = list(rows[start : start + EVALUATED_AT_ONCE])
        samples = torch.tensor([labelled.asked[row].sample for row in part])
        with fast(torch.device("cpu")):
            found.append(answering.loss(part, latents(labelled.tensors[samples], labelled.views[samples]))[1])
    return torch.cat(found)


def split_rows(labelled: LabelledSignals) -> tuple[list[int], list[int]]:
    """The questions for training and for validation, of different scenes. Raises BadInput where there are too few of either."""
    scenes = list(dict.fromkeys(labelled.scenes))
    held = set(scenes[VALIDATION - 1 :: VALIDATION])
    of = [labelled.scenes[one.sample] in held for one in labelled.asked]
    train, kept = ([row for row, apart in enumerate(of) if apart == side] for side in (False, True))
    if min(len(train), len(kept)) < LEAST:
        raise BadInput(
            f"{len(train)} questions to train on and {len(kept)} of other scenes to validate, at least {LEAST} of each are needed"
        )
    return train, kept


def frequent_questions(asked: Sequence[Asked], rows: Sequence[int]) -> list[str]:
    """The wordings of the questions `rows`, each once, the most frequent ones where there are very many."""
    counts = Counter(asked[row].question for row in rows)
    return [text for text, _ in counts.most_common(MOST_QUESTIONS) if len(text) <= LONGEST_QUESTION]


def blind_share(asked: Sequence[Asked], train: Sequence[int], held: Sequence[int]) -> float:
    """Share of the questions `held` to which the most frequent answer of the same question in `train` is right."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        seen[asked[row].question][asked[row].answer] += 1
    guesses = {question: counts.most_common(1)[0][0] for question, counts in seen.items()}
    return sum(guesses.get(asked[row].question) == asked[row].answer for row in held) / len(held)


def write_pack(pack: Pack, connector: Connector, folder: Path, llm_revision: str, figures: PackFigures) -> None:
    """Write pack, connector and card as folder `folder`, whole or not at all. Raises BadInput as `Pack.save` does."""
    manifest, layout = pack.manifest, pack.layout
    with atomic_folder(folder) as part:
        pack.save(part)
        save_pack_connector(connector, part, llm_revision)
        text = CARD.format(
            name=pack.modality,
            kind=layout.kind,
            size="x".join(map(str, layout.size)),
            encoder=manifest.encoder_revision,
            rank=manifest.rank,
            older=", in-adapters for those of " + ", ".join(manifest.older) if manifest.older else "",
            llm=llm_revision,
            parameters=figures.parameters,
            training=figures.training_questions,
            held=figures.held_questions,
            right=100 * figures.right,
            blind=100 * figures.blind,
        )
        (part / "README.md").write_text(text)
