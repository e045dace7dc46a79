# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage four: the connectors learn to speak to the frozen LLM. Nothing else trains.

Every question of a step sees another set of modalities, the empty one included, and every step another number of linked
blocks, so that one set of weights serves any subset and any depth (modality dropout and nested depth, papers.md 4.3, 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..encoders import Encoder
from ..latent.connector import merge
from ..latent.lower import lower_states, upper
from ..latent.port import Latent
from ..model import Model
from ..question_sets import modality_sets
from ..rig import Rig
from ..simulator.questions import ask
from ..simulator.truth import SceneTruth
from .loop import Schedule, fit
from .shards import Shards
from .text import answer_loss, lay_out

EVERYTHING = 0.4
"""Share of questions that see all modalities; the others draw a subset evenly, the empty one included."""
FULL_DEPTH = 0.6
"""Share of steps that link all blocks."""
ENCODED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class TokenTable:
    """The tokens of one modality for every frame: values float16 [frames, T, D], places float32 [frames, T, 3]."""

    values: Tensor
    places: Tensor


def encode_all(shards: Shards, encoders: Mapping[str, Encoder], folder: Path) -> dict[str, TokenTable]:
    """The tokens of every frame, its views behind each other in the rig's order; computed once and kept in `folder`."""
    return {modality: _kept_table(shards, encoder, folder) for modality, encoder in encoders.items()}


def _kept_table(shards: Shards, encoder: Encoder, folder: Path) -> TokenTable:
    path = folder / f"tokens-{encoder.modality}-{encoder.revision}-{len(shards)}.safetensors"
    if not path.is_file():
        table = _encode(shards, encoder)
        part = path.with_suffix(".part")
        save_file({"values": table.values.contiguous(), "places": table.places.contiguous()}, part)
        part.replace(path)
    return TokenTable(**load_file(path))


@torch.inference_mode()
def _encode(shards: Shards, encoder: Encoder) -> TokenTable:
    values, places = [], []
    for start in track(range(0, len(shards), ENCODED_AT_ONCE), f"encode {encoder.modality}"):
        frames = np.arange(start, min(start + ENCODED_AT_ONCE, len(shards)))
        value, place = encoder(_inputs(shards, encoder.modality, frames))
        values.append(value.reshape(len(frames), -1, value.shape[-1]).half())
        places.append(place.reshape(len(frames), -1, 3))
    return TokenTable(torch.cat(values), torch.cat(places))


def _inputs(shards: Shards, modality: str, frames: np.ndarray) -> dict[str, Tensor]:
    if modality == "imu":
        return shards.imu(frames)
    if modality == "lidar":
        return shards.lidar(frames, np.zeros(len(frames), bool))
    views = len(shards.rig.cameras)
    repeated = np.repeat(frames, views)
    return shards.camera(repeated, np.tile(np.arange(views), len(frames)), np.zeros(len(repeated), bool))


def row_bank(
    connectors: nn.ModuleDict,
    tables: Mapping[str, TokenTable],
    frames: Tensor,
    row: Tensor,
    seen: Mapping[str, Tensor],
    depth: int,
) -> dict[int, Latent]:
    """Latents for questions in rows: `frames` [F] are encoded once, question i asks about frame `row[i]`, sees where `seen`."""
    banks = {}
    for modality, table in tables.items():
        connector = connectors[modality]
        bank = connector(table.values[frames].float(), table.places[frames], linked_blocks=min(depth, len(connector.heads)))
        banks[modality] = {
            block: Latent(
                latent.key[row], latent.value[row], latent.log_gate[row].masked_fill(~seen[modality][:, None], -torch.inf)
            )
            for block, latent in bank.items()
        }
    return merge(banks)


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
    model.connectors.requires_grad_(True)
    trained = {name for name, value in model.connectors.named_parameters() if value.requires_grad}
    frozen = [name for name, value in model.llm.named_parameters() if value.requires_grad]
    if frozen or not trained:
        raise AssertionError(f"only connectors may train, but {frozen[:3]} of the LLM would")
    choices = modality_sets(tuple(tables))
    deepest = model.linked_blocks
    first = model.llm.config.num_hidden_layers - deepest

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        frames = rng.integers(len(truths), size=batch[0])
        asked = [(index, q) for index, frame in enumerate(frames) for q in ask(truths[frame], rig, rng, batch[1])]
        row = torch.tensor([index for index, _ in asked])
        chosen = [choices[-1] if rng.random() < EVERYTHING else choices[rng.integers(len(choices))] for _ in asked]
        seen = {modality: torch.tensor([modality in subset for subset in chosen]) for modality in tables}
        depth = deepest if rng.random() < FULL_DEPTH else int(rng.integers(1, deepest + 1))
        bank = row_bank(model.connectors, tables, torch.from_numpy(frames), row, seen, depth)
        pairs = [(model.prompt.question_ids(q.question), model.prompt.answer_ids(q.answer)) for _, q in asked]
        laid = lay_out(pairs, model.tokenizer.pad_token_id)
        with torch.no_grad():
            hidden = lower_states(model.llm, laid.ids, first_block=first)
        value, right = answer_loss(upper(model.llm, hidden, bank, first_block=first, positions=laid.places), laid.targets)
        return value, {"right": right}

    fit("connectors", model.connectors, loss, schedule, folder, seed)
    model.connectors.requires_grad_(False)
