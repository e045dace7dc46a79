# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Prepared questions as the batches of a training into a pretrained LLM: a row per frame, its questions behind each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..datasets.examples import modality_sets
from .connectors import TokenTable
from .prepared_questions import Prepared
from .prepared_texts import Fork, KeptText, forks, text_name

EVERYTHING = 0.6
"""Share of frames whose questions attend to all modalities; the others draw a subset evenly, never the empty one: the bare LLM
has nothing that could train."""


@dataclass
class Answers:
    """The answer set as a loss needs it: forks and suffix tokens by answer, and the tokens that forks choose among."""

    names: list[str]
    sequences: list[list[int]]

    def __post_init__(self) -> None:
        self.forks: dict[str, list[Fork]] = dict(zip(self.names, forks(self.sequences), strict=True))
        self.suffix = {
            name: tuple(sequence[: max((fork.after for fork in self.forks[name]), default=0)])
            for name, sequence in zip(self.names, self.sequences, strict=True)
        }
        self.tokens = sorted({token for row in self.forks.values() for fork in row for token in fork.tokens})
        self.column = {token: column for column, token in enumerate(self.tokens)}


@dataclass
class Store:
    """Prepared frames and questions, growing while the training runs: tokens by modality, texts, questions by views and frame."""

    tables: dict[str, TokenTable]
    texts: dict[str, KeptText]
    questions: dict[tuple[int, ...], dict[int, list[Prepared]]]

    @classmethod
    def empty(cls) -> Store:
        """A store without frames."""
        return cls({}, {}, {})

    def add(self, tables: Mapping[str, TokenTable]) -> int:
        """Add the frames of a shard, numbered after those that are there. Returns the number of the first."""
        start = len(next(iter(self.tables.values())).values) if self.tables else 0
        for name, table in sorted(tables.items()):
            if old := self.tables.get(name):
                joined = (torch.cat(pair) for pair in ((old.values, table.values), (old.places, table.places)))
                table = TokenTable(*joined, table.sources)
            self.tables[name] = table
        return start

    def ask(self, start: int, texts: Mapping[str, KeptText], questions: Sequence[Prepared], answers: Answers) -> None:
        """Add questions about the frames from `start` on, and texts. Questions whose text is not there are left out."""
        self.texts.update(texts)
        for question in questions:
            if text_name(question.text, answers.suffix[question.answer]) in self.texts:
                frames = self.questions.setdefault(question.views, defaultdict(list))
                frames[start + question.frame].append(replace(question, frame=start + question.frame))


@dataclass
class Laid:
    """Q questions in R rows, one frame each. `hidden` [R, S, d_model] enters the first linked block; `keys` by block are the
    texts' earlier positions; `mask` [R, 1, S, S' + S]. `last` [Q, 2] is (row, position) of each prompt's last token.
    `forks` [n, 3] is (question, row, position) and `allowed` [n, tokens], `choice` [n] what each may and should choose."""

    hidden: Tensor
    keys: dict[int, tuple[Tensor, Tensor]]
    positions: Tensor
    mask: Tensor
    last: Tensor
    forks: Tensor
    allowed: Tensor
    choice: Tensor


def lay_out(rows: Sequence[Sequence[Prepared]], texts: Mapping[str, KeptText], answers: Answers, first_block: int) -> Laid:
    """The questions of each row behind each other."""
    parts: dict[str, list[list[Tensor]]] = {name: [] for name in ("hidden", "position", "owner", "keys", "values", "key_owner")}
    last, places, allowed, choice, number = [], [], [], [], 0
    for row, questions in enumerate(rows):
        for part in parts.values():
            part.append([])
        at = 0
        for question in questions:
            suffix = answers.suffix[question.answer]
            text = texts[text_name(question.text, suffix)]
            count, before = len(text.hidden), text.keys.shape[2]
            # 32 bits from here on: autocast refuses to join 16-bit tensors of another kind than its own.
            parts["hidden"][-1].append(text.hidden.float())
            parts["position"][-1].append(torch.arange(before, before + count))
            parts["owner"][-1].append(torch.full((count,), number))
            parts["key_owner"][-1].append(torch.full((before,), number))
            parts["keys"][-1].append(text.keys.permute(2, 0, 1, 3).float())
            parts["values"][-1].append(text.values.permute(2, 0, 1, 3).float())
            end = at + count - len(suffix) - 1
            last.append((row, end))
            for fork in answers.forks[question.answer]:
                places.append((number, row, end + fork.after))
                allowed.append([answers.column[token] for token in fork.tokens])
                choice.append(answers.column[fork.tokens[fork.choice]])
            at += count
            number += 1
    joined = {name: [torch.cat(one) for one in part] for name, part in parts.items()}
    hidden, position, keys, values = (
        pad_sequence(joined[name], batch_first=True) for name in ("hidden", "position", "keys", "values")
    )
    owner = pad_sequence(joined["owner"], batch_first=True, padding_value=-1)
    key_owner = pad_sequence(joined["key_owner"], batch_first=True, padding_value=-2)
    size = owner.shape[1]
    among = (owner[:, :, None] == owner[:, None]) & torch.ones(size, size, dtype=torch.bool).tril()
    mask = torch.cat([owner[:, :, None] == key_owner[:, None], among], dim=-1)[:, None]
    may = torch.zeros((len(places), len(answers.tokens)), dtype=torch.bool)
    for row, columns in enumerate(allowed):
        may[row, columns] = True
    kept = {
        first_block + block: (keys[:, :, block].transpose(1, 2), values[:, :, block].transpose(1, 2))
        for block in range(keys.shape[2])
    }
    return Laid(hidden, kept, position, mask, torch.tensor(last), torch.tensor(places), may, torch.tensor(choice))


def columns_of(tables: Mapping[str, TokenTable], views: Sequence[int]) -> Tensor:
    """Which of a frame's tokens, numbered through the modalities by name, are there with the cameras `views`."""
    kept = [
        torch.isin(table.sources, torch.tensor(list(views)))
        if name == "camera"
        else torch.ones(len(table.sources), dtype=torch.bool)
        for name, table in sorted(tables.items())
    ]
    return torch.cat(kept).nonzero()[:, 0]


def draw(store: Store, shares: Mapping[tuple[int, ...], float], size: tuple[int, int], rng: np.random.Generator):
    """Rows of questions for a step: `size[0]` frames, at most `size[1]` questions each, with views drawn by `shares`; and which
    modalities each row attends to."""
    options = list(shares)
    views = options[rng.choice(len(options), p=np.array(list(shares.values())))]
    frames = store.questions[views]
    numbers = list(frames)
    chosen = rng.choice(len(numbers), min(size[0], len(numbers)), replace=False)
    rows = []
    for index in chosen:
        questions = frames[numbers[index]]
        picked = rng.choice(len(questions), min(size[1], len(questions)), replace=False)
        rows.append([questions[place] for place in picked])
    sets = modality_sets(tuple(store.tables))[1:]
    drawn = [sets[-1] if rng.random() < EVERYTHING else sets[rng.integers(len(sets))] for _ in rows]
    return rows, {name: torch.tensor([name in chosen for chosen in drawn]) for name in store.tables}
