# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage five: the connectors learn to speak to the frozen LLM. Nothing else trains.

Every question of a step sees another set of modalities, the empty one included, and every step another number of linked
blocks, so that one set of weights serves any subset and any depth (modality dropout and nested depth, papers.md 4.3, 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..encoders import Encoder
from ..latent.connector import Connector, merge
from ..latent.port import Bank, Latent
from ..model import Model
from ..rig import Rig
from ..simulator.truth import SceneTruth
from .lessons import Batch, draw_batch, draw_depth
from .loop import Schedule, fit
from .lower_cache import LowerCache
from .packing import Packed, pack, packed_loss
from .processes import first_alone
from .shards import Shards

ENCODED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class TokenTable:
    """The tokens of one modality for every frame: values float16 [frames, T, D], places float32 [frames, T, 3].

    `sources` int64 [T] says from which source, by number, each of a frame's tokens comes.
    """

    values: Tensor
    places: Tensor
    sources: Tensor

    def at(self, frames: Tensor) -> TokenTable:
        """The tokens of `frames` [F] alone."""
        return replace(self, values=self.values[frames], places=self.places[frames])

    def of(self, sources: Sequence[int]) -> TokenTable:
        """The tokens of these sources alone."""
        kept = torch.isin(self.sources, self.sources.new_tensor(sources)).nonzero()[:, 0]
        return TokenTable(self.values[:, kept], self.places[:, kept], self.sources[kept])


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


def packed_bank(banks: Mapping[str, Bank], packed: Packed, seen: Mapping[str, Tensor], attend_last: int = 0) -> dict[int, Latent]:
    """The latents of `banks`, a row per frame, for the rows of `packed`; question i sees a modality where `seen` [questions].

    Only the last `attend_last` tokens of a prompt, and what follows, attend to them, 0 = all of them.
    """
    late = packed.attending(attend_last)
    return merge(
        {
            modality: {block: _for_rows(latent, packed, seen[modality], late) for block, latent in bank.items()}
            for modality, bank in banks.items()
        }
    )


def _for_rows(latent: Latent, packed: Packed, seen: Tensor, late: Tensor) -> Latent:
    absent = ~(seen[packed.owner.clamp(min=0)] & late)
    gate = latent.log_gate[packed.frames][:, None].expand(-1, absent.shape[1], -1)
    return latent.of_rows(packed.frames, gate.masked_fill(absent[..., None], -torch.inf))


def heard(connector: Connector, table: TokenTable) -> tuple[Tensor, Tensor]:
    """What `connector` hears, on its device: values [F, T, D] and places [F, T, 3]."""
    device = next(connector.parameters()).device
    return table.values.to(device).float(), table.places.to(device)


def said(model: Model, tables: Mapping[str, TokenTable], batch: Batch, depth: int) -> dict[str, Bank]:
    """What the connectors make of a batch's frames, as far as it hears them, for `depth` of the last blocks, by modality."""
    banks = {}
    for modality, table in tables.items():
        connector, table = model.connectors[modality], table.at(batch.frames)
        if modality == "camera":
            table = table.of(batch.views)
        sources, linked = table.sources.to(model.llm.device), min(depth, len(connector.heads))
        banks[modality] = connector(*heard(connector, table), linked_blocks=linked, sources=sources)
    return banks


def answers_loss(model: Model, banks: Mapping[str, Bank], batch: Batch, texts: LowerCache) -> tuple[Tensor, float]:
    """Mean cross-entropy of the batch's answers with `banks`, a row per frame, plugged, and the share that is right."""
    device = model.llm.device
    seen = {modality: rows.to(device) for modality, rows in batch.seen.items()}
    value, right = torch.zeros((), device=device), 0
    for packed in pack(batch.pairs, batch.row, model.tokenizer.pad_token_id or 0, device):
        loss, count = packed_loss(texts.logits(packed, packed_bank(banks, packed, seen, model.attend_last)), packed)
        value, right = value + loss, right + count
    return value / len(batch.pairs), right / len(batch.pairs)


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
        value, right = answers_loss(model, said(model, tables, drawn, draw_depth(deepest, rng)), drawn, texts)
        return value, {"right": right}

    fit("connectors", model.connectors, loss, schedule, folder, seed)
    model.connectors.requires_grad_(False)
