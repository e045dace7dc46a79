# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage five: trains the connectors on questions; the LLM is frozen.

Each question has a random set of modalities connected, the empty one included (modality dropout), and each step a random number
of linked blocks (nested depth), so that one set of weights works for any subset and any depth (docs/how_it_works.md).
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
from ..io.atomic_write import atomic_file
from ..latent.attention_adapter import Latent, LatentCache
from ..latent.connector import Connector, merge
from ..model import Model
from ..rig import Rig
from ..simulator.truth import SceneTruth
from .batches import Batch, draw_batch, draw_depth
from .loop import Schedule, fit
from .lower_cache import LowerCache
from .packing import Packed, pack, packed_loss
from .processes import first_alone
from .shards import Shards

ENCODE_BATCH = 16


@dataclass(frozen=True, slots=True)
class TokenTable:
    """The tokens of one modality for every frame: values float16 [frames, T, D], places float32 [frames, T, 3].

    `sources` int64 [T] says from which source, by number, each of a frame's tokens comes.
    """

    values: Tensor
    places: Tensor
    sources: Tensor

    def at(self, frames: Tensor) -> TokenTable:
        """The tokens of `frames` [F]."""
        return replace(self, values=self.values[frames], places=self.places[frames])

    def of(self, sources: Sequence[int]) -> TokenTable:
        """The tokens of these sources."""
        kept = torch.isin(self.sources, self.sources.new_tensor(sources)).nonzero()[:, 0]
        return TokenTable(self.values[:, kept], self.places[:, kept], self.sources[kept])


def encode_all(shards: Shards, encoders: Mapping[str, Encoder], folder: Path) -> dict[str, TokenTable]:
    """The tokens of every frame, concatenated over its views in the rig's order; computed once and cached in `folder`."""
    with first_alone():
        return {modality: _cached_table(shards, encoder, folder) for modality, encoder in encoders.items()}


def _cached_table(shards: Shards, encoder: Encoder, folder: Path) -> TokenTable:
    path = folder / f"tokens-{encoder.modality}-{encoder.revision}-{shards.span}.safetensors"
    if not path.is_file():
        table = _encode(shards, encoder)
        with atomic_file(path) as part:
            save_file({field.name: getattr(table, field.name).contiguous() for field in fields(table)}, part)
    return TokenTable(**load_file(path))


@torch.inference_mode()
def _encode(shards: Shards, encoder: Encoder) -> TokenTable:
    values, places = [], []
    for start in track(range(0, len(shards), ENCODE_BATCH), f"encode {encoder.modality}"):
        frames = np.arange(start, min(start + ENCODE_BATCH, len(shards)))
        with next(encoder.parameters()).device:
            value, place = encoder(shards.inputs(encoder.modality, frames))
        values.append(value.reshape(len(frames), -1, value.shape[-1]).half().cpu())
        places.append(place.reshape(len(frames), -1, 3).cpu())
    sources = torch.arange(value.shape[0] // len(frames)).repeat_interleave(value.shape[1])
    return TokenTable(torch.cat(values), torch.cat(places), sources)


def packed_latent_cache(
    latent_caches: Mapping[str, LatentCache], packed: Packed, seen: Mapping[str, Tensor], attend_last: int = 0
) -> dict[int, Latent]:
    """The latents of `latent_caches`, a row per frame, for the rows of `packed`, visible where `seen` [questions].

    Only the last `attend_last` tokens of a prompt, and what follows, attend to them, 0 = all of them.
    """
    late = packed.attending(attend_last)
    return merge(
        {
            modality: {block: _for_rows(latent, packed, seen[modality], late) for block, latent in latent_cache.items()}
            for modality, latent_cache in latent_caches.items()
        }
    )


def _for_rows(latent: Latent, packed: Packed, seen: Tensor, late: Tensor) -> Latent:
    absent = ~(seen[packed.owner.clamp(min=0)] & late)
    gate = latent.log_gate[packed.frames][:, None].expand(-1, absent.shape[1], -1)
    return latent.of_rows(packed.frames, gate.masked_fill(absent[..., None], -torch.inf))


def on_device(connector: Connector, table: TokenTable) -> tuple[Tensor, Tensor]:
    """Token values [F, T, D] and places [F, T, 3] of `table` on the device of `connector`."""
    device = next(connector.parameters()).device
    return table.values.to(device).float(), table.places.to(device)


def batch_latents(model: Model, tables: Mapping[str, TokenTable], batch: Batch, depth: int) -> dict[str, LatentCache]:
    """Latents of a batch's frames and cameras for `depth` of the last blocks, by modality."""
    latent_caches = {}
    for modality, table in tables.items():
        connector, table = model.connectors[modality], table.at(batch.frames)
        if modality == "camera":
            table = table.of(batch.views)
        sources, linked = table.sources.to(model.llm.device), min(depth, len(connector.heads))
        latent_caches[modality] = connector(*on_device(connector, table), linked_blocks=linked, sources=sources)
    return latent_caches


def answers_loss(model: Model, latent_caches: Mapping[str, LatentCache], batch: Batch, texts: LowerCache) -> tuple[Tensor, float]:
    """Mean cross-entropy of the batch's answers with `latent_caches`, a row per frame, and the share of right answers."""
    device = model.llm.device
    seen = {modality: rows.to(device) for modality, rows in batch.seen.items()}
    value, right = torch.zeros((), device=device), 0
    for packed in pack(batch.pairs, batch.row, model.tokenizer.pad_token_id or 0, device):
        cache = packed_latent_cache(latent_caches, packed, seen, model.attend_last)
        loss, count = packed_loss(texts.logits(packed, cache), packed)
        value, right = value + loss, right + count
    return value / len(batch.pairs), right / len(batch.pairs)


def free_connectors(model: Model) -> set[str]:
    """Set the connectors of `model` to train. Returns the names of their parameters; raises where the LLM is not frozen."""
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
        value, right = answers_loss(model, batch_latents(model, tables, drawn, draw_depth(deepest, rng)), drawn, texts)
        return value, {"right": right}

    fit("connectors", model.connectors, loss, schedule, folder, seed)
    model.connectors.requires_grad_(False)
