# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Connectors and one LoRA into a frozen pretrained LLM, trained on prepared questions (prepared_questions.py, prepared_texts.py).

Only the last positions of a prompt attend to sensors, so a step computes the linked blocks at those few positions; all else of a
text was computed before. The loss is taken at the forks of the answer tree, and some heads are supervised where to attend.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from ..datasets.simulated import modality_sets
from ..latent.attention_adapter import Latent, LatentCache, plugged, queries
from ..latent.connector import Connector, merge
from ..latent.shared_lora import SharedLora
from ..latent.text_states import TextKeys, run_blocks
from .connectors import TokenTable, on_device
from .loop import fast
from .muon import Muon
from .prepared_questions import LOOKS, Prepared, wanted_tokens
from .prepared_texts import Fork, KeptText, forks, text_name

EVERYTHING = 0.6
"""Share of frames whose questions attend to all modalities; the others draw a subset evenly, never the empty one: the bare LLM
has nothing that could train."""
ATTENTION_WEIGHT = 1.0
"""Weight of the attention supervision beside the answers."""
SUPERVISED = (2, 5)
"""Which of the linked blocks, counted from the first, has heads that attend to what a question refers to, and which to what it is
answered from: blocks 24 and 27 of 30 where the last 8 are linked."""
DECAY_FROM = 0.5
"""After this share of the time the learning rates fall linearly to zero."""
WARMUP = 30
AVERAGED = 0.99
"""Each step keeps this share of the averaged weights."""


class Trained(nn.Module):
    """What trains: the connectors by modality, and the LoRA."""

    def __init__(self, connectors: Mapping[str, Connector], lora: SharedLora) -> None:
        super().__init__()
        self.connectors, self.lora = nn.ModuleDict(connectors), lora


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
            parts["hidden"][-1].append(text.hidden)
            parts["position"][-1].append(torch.arange(before, before + count))
            parts["owner"][-1].append(torch.full((count,), number))
            parts["key_owner"][-1].append(torch.full((before,), number))
            parts["keys"][-1].append(text.keys.permute(2, 0, 1, 3))
            parts["values"][-1].append(text.values.permute(2, 0, 1, 3))
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
        first_block + block: (keys[:, :, block].transpose(1, 2).float(), values[:, :, block].transpose(1, 2).float())
        for block in range(keys.shape[2])
    }
    return Laid(hidden.float(), kept, position, mask, torch.tensor(last), torch.tensor(places), may, torch.tensor(choice))


def connect(
    trained: Trained, tables: Mapping[str, TokenTable], frames: Tensor, views: Sequence[int], attended: Mapping[str, Tensor]
) -> dict[int, Latent]:
    """The latents of `frames`, a row each, of the cameras `views`; row i attends to the modalities of `attended`."""
    latent_caches: dict[str, LatentCache] = {}
    for modality, table in tables.items():
        connector, table = trained.connectors[modality], table.at(frames)
        if modality == "camera":
            table = table.of(views)
        valid = attended[modality][:, None].expand(-1, len(table.sources))
        latent_caches[modality] = connector(*on_device(connector, table), valid=valid, sources=table.sources)
    return merge(latent_caches)


def answer_logits(llm: nn.Module, laid: Laid, latent_cache: LatentCache, answers: Answers, first_block: int) -> Tensor:
    """Logits [forks, tokens] over `answers.tokens`, with minus infinity where a fork does not lead."""
    with plugged(latent_cache):
        hidden = run_blocks(llm, laid.hidden, first_block, laid.positions, laid.mask, TextKeys(laid.keys))
    chosen = llm.model.norm(hidden[laid.forks[:, 1], laid.forks[:, 2]])
    logits = chosen @ llm.lm_head.weight[answers.tokens].T
    return logits.masked_fill(~laid.allowed, -torch.inf)


def attention_loss(
    llm: nn.Module, asked: Mapping[int, Tensor], latent_cache: LatentCache, wanted: Tensor, last: Tensor, blocks
) -> Tensor:
    """How far the supervised heads are from attending to `wanted` [Q, 2 * LOOKS, P] at the prompts' last tokens, summed."""
    group = llm.config.num_attention_heads // llm.config.num_key_value_heads
    total = torch.zeros(())
    for look in range(2 * LOOKS):
        block, head = blocks[look // LOOKS], look % LOOKS * group
        gate = latent_cache[block].log_gate[last[:, 0]]
        target = gate.detach().exp() * wanted[:, look]
        rows = target.any(-1).nonzero()[:, 0]
        if not len(rows):
            continue
        query = asked[block][last[rows, 0], head, last[rows, 1]]
        score = (latent_cache[block].key[last[rows, 0], head // group] @ query[..., None]).squeeze(-1) * query.shape[-1] ** -0.5
        score = score + gate[rows]
        share = target[rows] / target[rows].sum(-1, keepdim=True)
        total = total - (share * score.log_softmax(-1).masked_fill(share == 0, 0.0)).sum()
    return total


def columns_of(tables: Mapping[str, TokenTable], views: Sequence[int]) -> Tensor:
    """Which of a frame's tokens, numbered through the modalities by name, are there with the cameras `views`."""
    kept = [
        torch.isin(table.sources, torch.tensor(list(views)))
        if name == "camera"
        else torch.ones(len(table.sources), dtype=torch.bool)
        for name, table in sorted(tables.items())
    ]
    return torch.cat(kept).nonzero()[:, 0]


def step_loss(
    llm: nn.Module,
    trained: Trained,
    store: Store,
    answers: Answers,
    rows: Sequence[Sequence[Prepared]],
    attended: Mapping[str, Tensor],
    supervised: bool = True,
) -> tuple[Tensor, dict[str, float], Tensor]:
    """Loss of the questions `rows` (a row per frame, all of the same views), its parts, and which questions are right [Q]."""
    first_block, views = trained.lora.first_block, rows[0][0].views
    frames = torch.tensor([questions[0].frame for questions in rows])
    latent_cache = connect(trained, store.tables, frames, views, attended)
    laid = lay_out(rows, store.texts, answers, first_block)
    flat = [question for questions in rows for question in questions]
    with queries() as asked:
        logits = answer_logits(llm, laid, latent_cache, answers, first_block)
    answered = functional.cross_entropy(logits, laid.choice, reduction="sum") / len(flat)
    wrong = torch.zeros(len(flat)).index_add(0, laid.forks[:, 0], (logits.argmax(-1) != laid.choice).float())
    parts = {"answers": answered.item(), "right": float((wrong == 0).float().mean())}
    loss = answered
    if supervised:
        tokens = sum(len(table.sources) for table in store.tables.values())
        wanted = wanted_tokens(flat, tokens)[:, :, columns_of(store.tables, views)]
        blocks = [first_block + block for block in SUPERVISED]
        attention = attention_loss(llm, asked, latent_cache, wanted, laid.last, blocks) / len(flat)
        parts["attention"] = attention.item()
        loss = loss + ATTENTION_WEIGHT * attention
    return loss, parts, wrong == 0


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


def optimizers(trained: Trained, matrix_rate: float, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for the rest; each group keeps its highest rate as "peak"."""
    values = [value for value in trained.parameters() if value.requires_grad]
    matrices, rest = [v for v in values if v.ndim >= 2], [v for v in values if v.ndim < 2]
    return [
        Muon([{"params": matrices, "peak": matrix_rate}], matrix_rate, 0.02),
        torch.optim.AdamW([{"params": rest, "peak": rate}], lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_at(step: int, share: float, begun: float = 0.0) -> float:
    """Share of the learning rate at `step` when `share` of the time is over; a run that goes on from `begun` warms up again."""
    warm = min(1.0, (step + 1) / WARMUP)
    return warm * min(1.0, max(0.0, (1.0 - share) / (1.0 - DECAY_FROM)))


def train(
    llm: nn.Module,
    trained: Trained,
    store: Store,
    answers: Answers,
    shares: Mapping[tuple[int, ...], float],
    size: tuple[int, int],
    seconds: tuple[float, float],
    rates: tuple[float, float],
    seed: int,
    watch: Callable[[int, dict[str, float], dict[str, Tensor]], None],
) -> dict[str, Tensor]:
    """Train until the clock says `seconds[1]` (epoch seconds), as if begun at `seconds[0]`. Returns the averaged weights.

    `watch` is called after each step with its number, its figures and the averaged weights.
    """
    trained.requires_grad_(True)
    stages = optimizers(trained, *rates)
    averaged = {name: value.detach().clone() for name, value in trained.named_parameters()}
    step = 0
    while (now := time.time()) < seconds[1]:
        share = (now - seconds[0]) / (seconds[1] - seconds[0])
        for group in (group for stage in stages for group in stage.param_groups):
            group["lr"] = group["peak"] * rate_at(step, share)
        trained.zero_grad(set_to_none=True)
        rows, attended = draw(store, shares, size, np.random.default_rng([seed, step]))
        with fast(torch.device("cpu")):
            loss, parts, _ = step_loss(llm, trained, store, answers, rows, attended)
            loss.backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        for stage in stages:
            stage.step()
        keep = min(AVERAGED, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in trained.named_parameters():
                averaged[name].lerp_(value, 1 - keep)
        step += 1
        parts |= {"rate": rate_at(step, share), "seconds": time.time() - now}
        watch(step, parts, averaged)
    trained.requires_grad_(False)
    return averaged
