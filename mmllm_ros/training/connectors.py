# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage five: the connectors learn to speak to the frozen LLM. Nothing else trains.

Every question of a step sees another set of modalities, the empty one included, and every step another number of linked
blocks, so that one set of weights serves any subset and any depth (modality dropout and nested depth, papers.md 4.3, 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..datatypes import Question
from ..encoders import Encoder
from ..latent.connector import Connector, merge
from ..latent.port import Bank, Latent
from ..model import Model
from ..question_sets import modality_sets
from ..rig import Rig
from ..simulator.programs import meets, parse
from ..simulator.questions import ask
from ..simulator.scene_graph import SceneGraph
from ..simulator.truth import SceneTruth
from .loop import Schedule, fit
from .lower_cache import LowerCache
from .packing import Packed, Pair, pack, packed_loss
from .phrases import LESSONS
from .processes import first_alone
from .shards import Shards

EVERYTHING = 0.4
"""Share of questions that see all modalities; the others draw a subset evenly, the empty one included."""
FULL_DEPTH = 0.6
"""Share of steps that link all blocks."""
ELSEWHERE = 4
"""For so many questions about a frame one of another frame, about what this one lacks. The answer there is as good as a guess,
and to guess is what it teaches: not to take something else that is seen for what is asked about."""
ENCODED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class TokenTable:
    """The tokens of one modality for every frame: values float16 [frames, T, D], places float32 [frames, T, 3].

    `sources` int64 [T] says from which source, by number, each of a frame's tokens comes.
    """

    values: Tensor
    places: Tensor
    sources: Tensor


def encode_all(shards: Shards, encoders: Mapping[str, Encoder], folder: Path) -> dict[str, TokenTable]:
    """The tokens of every frame, its views behind each other in the rig's order; computed once and kept in `folder`."""
    with first_alone():
        return {modality: _kept_table(shards, encoder, folder) for modality, encoder in encoders.items()}


def _kept_table(shards: Shards, encoder: Encoder, folder: Path) -> TokenTable:
    path = folder / f"tokens-{encoder.modality}-{encoder.revision}-{shards.span}.safetensors"
    if not path.is_file():
        table = _encode(shards, encoder)
        part = path.with_suffix(".part")
        save_file({field.name: getattr(table, field.name).contiguous() for field in fields(table)}, part)
        part.replace(path)
    return TokenTable(**load_file(path))


@torch.inference_mode()
def _encode(shards: Shards, encoder: Encoder) -> TokenTable:
    values, places = [], []
    for start in track(range(0, len(shards), ENCODED_AT_ONCE), f"encode {encoder.modality}"):
        frames = np.arange(start, min(start + ENCODED_AT_ONCE, len(shards)))
        with next(encoder.parameters()).device:
            value, place = encoder(shards.inputs(encoder.modality, frames))
        values.append(value.reshape(len(frames), -1, value.shape[-1]).half().cpu())
        places.append(place.reshape(len(frames), -1, 3).cpu())
    sources = torch.arange(value.shape[0] // len(frames)).repeat_interleave(value.shape[1])
    return TokenTable(torch.cat(values), torch.cat(places), sources)


def packed_bank(banks: Mapping[str, Bank], packed: Packed, seen: Mapping[str, Tensor]) -> dict[int, Latent]:
    """The latents of `banks`, a row per frame, for the rows of `packed`; question i sees a modality where `seen` [questions]."""
    return merge(
        {
            modality: {block: _for_rows(latent, packed, seen[modality]) for block, latent in bank.items()}
            for modality, bank in banks.items()
        }
    )


def _for_rows(latent: Latent, packed: Packed, seen: Tensor) -> Latent:
    absent = ~seen[packed.owner.clamp(min=0)]
    gate = latent.log_gate[packed.frames][:, None].expand(-1, absent.shape[1], -1)
    return latent.of_rows(packed.frames, gate.masked_fill(absent[..., None], -torch.inf))


def heard(connector: Connector, table: TokenTable, frames: Tensor) -> tuple[Tensor, Tensor]:
    """What `connector` hears of `frames` [F], on its device: values [F, T, D] and places [F, T, 3]."""
    device = next(connector.parameters()).device
    return table.values[frames].to(device).float(), table.places[frames].to(device)


def said(model: Model, tables: Mapping[str, TokenTable], frames: Tensor, depth: int) -> dict[str, Bank]:
    """What the connectors make of `frames` [F] for `depth` of the last blocks, by modality."""
    banks = {}
    for modality, table in tables.items():
        connector = model.connectors[modality]
        sources, linked = table.sources.to(model.llm.device), min(depth, len(connector.heads))
        banks[modality] = connector(*heard(connector, table, frames), linked_blocks=linked, sources=sources)
    return banks


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions of one step: `frames` are encoded, question i is `pairs[i]` about `frames[row[i]]` and sees where `seen` says."""

    frames: Tensor
    pairs: list[Pair]
    row: list[int]
    seen: dict[str, Tensor]


def draw_batch(
    model: Model,
    modalities: Sequence[str],
    truths: Sequence[SceneTruth],
    rig: Rig,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Batch:
    """`size[0]` frames with at most `size[1]` questions each, and some from ELSEWHERE, each with its own set of modalities."""
    choices = modality_sets(modalities)
    frames = rng.integers(len(truths), size=size[0])
    asked = [(row, q) for row, frame in enumerate(frames) for q in ask(truths[frame], rig, rng, size[1], shares=LESSONS)]
    asked += _from_elsewhere(asked, [truths[frame] for frame in frames], rig, size[1] // ELSEWHERE)
    chosen = [choices[-1] if rng.random() < EVERYTHING else choices[rng.integers(len(choices))] for _ in asked]
    return Batch(
        torch.from_numpy(frames),
        [(model.prompt.question_ids(q.question), model.prompt.answer_ids(q.answer)) for _, q in asked],
        [row for row, _ in asked],
        {modality: torch.tensor([modality in subset for subset in chosen]) for modality in modalities},
    )


def _from_elsewhere(
    asked: Sequence[tuple[int, Question]], truths: Sequence[SceneTruth], rig: Rig, most: int
) -> list[tuple[int, Question]]:
    """Questions about things that a row lacks, at most so many for each: of the row before it, with their answers there."""
    graphs, taken = [SceneGraph(truth, rig) for truth in truths], [0] * len(truths)
    found = []
    for row, question in asked:
        after = (row + 1) % len(truths)
        if taken[after] < most and not meets(parse(question.program), graphs[after]):
            taken[after] += 1
            found.append((after, question))
    return found


def answers_loss(model: Model, banks: Mapping[str, Bank], batch: Batch, texts: LowerCache) -> tuple[Tensor, float]:
    """Mean cross-entropy of the batch's answers with `banks`, a row per frame, plugged, and the share that is right."""
    device = model.llm.device
    seen = {modality: rows.to(device) for modality, rows in batch.seen.items()}
    value, right = torch.zeros((), device=device), 0
    for packed in pack(batch.pairs, batch.row, model.tokenizer.pad_token_id or 0, device):
        loss, count = packed_loss(texts.logits(packed, packed_bank(banks, packed, seen)), packed)
        value, right = value + loss, right + count
    return value / len(batch.pairs), right / len(batch.pairs)


def draw_depth(deepest: int, rng: np.random.Generator) -> int:
    """How many of the last blocks a step links."""
    return deepest if rng.random() < FULL_DEPTH else int(rng.integers(1, deepest + 1))


def free_connectors(model: Model) -> set[str]:
    """Make the connectors of `model`, and nothing else of it, train. Returns their names; an LLM that would train is an error."""
    model.connectors.requires_grad_(True)
    thawed = [name for name, value in model.llm.named_parameters() if value.requires_grad]
    if thawed:
        raise AssertionError(f"only connectors may train, but {thawed[0]} of the LLM would")
    return {name for name, value in model.connectors.named_parameters() if value.requires_grad}


def train_connectors(
    model: Model,
    tables: Mapping[str, TokenTable],
    truths: Sequence[SceneTruth],
    rig: Rig,
    schedule: Schedule,
    batch: tuple[int, int],
    folder: Path,
    seed: int,
) -> None:
    """Train `model.connectors` in place on `batch[0]` frames with `batch[1]` questions each a step."""
    free_connectors(model)
    deepest = model.linked_blocks
    texts = LowerCache(model.llm, model.llm.config.num_hidden_layers - deepest)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        drawn = draw_batch(model, tuple(tables), truths, rig, batch, rng)
        value, right = answers_loss(model, said(model, tables, drawn.frames, draw_depth(deepest, rng)), drawn, texts)
        return value, {"right": right}

    fit("connectors", model.connectors, loss, schedule, folder, seed)
    model.connectors.requires_grad_(False)
