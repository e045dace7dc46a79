# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Four ways to teach a new modality to a projection that knows others. Each sees the new modality's data alone, but for `shared`,
which keeps a tenth of the older data.

in_adapters   ours: an adapter for the modality, in-adapters through the adapters of older ones, a gate
adapters      an adapter for the modality
full          fine-tuning of the whole projection
shared        one adapter for all modalities, trained with replay, averaged, then realigned (MERA, arXiv 2503.07663)

In every row the modality also has maps, modality tokens and a connector of its own, and the LLM is frozen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from signals import Modality
from torch import Tensor, nn

from mmllm_ros.encoders.universal.adapters import RANK, ModalityAdapters
from mmllm_ros.encoders.universal.encoder import LAYOUTS, UniversalEncoder
from mmllm_ros.latent.attention_adapter import LatentCache
from mmllm_ros.latent.connector import Connector
from mmllm_ros.training.continual.answering import Answering
from mmllm_ros.training.loop import Loss, Schedule, fast, fit

METHODS = ("in_adapters", "adapters", "full", "shared")
BASE = "image"
BATCH = 32
RATE = 2e-3
CONNECTOR = {"trunk": 192, "rank": 16}
REPLAY = 0.1
"""Share of the older modalities' training questions that `shared` keeps, and of a step's questions that are from these."""
REALIGN = 4
"""Realignment takes one step for so many of the training."""
AT_ONCE = 64


class Learned:
    """What one method has learned so far: its own copy of the encoder's projection, connectors, adapters by modality."""

    def __init__(self, encoder: UniversalEncoder, llm: nn.Module, linked_blocks: int, data: Mapping[str, Modality]) -> None:
        self.encoder, self.llm, self.linked_blocks, self.data = encoder, llm, linked_blocks, data
        self.connectors: dict[str, Connector] = {}
        self.adapters: dict[str, ModalityAdapters] = {}
        self.layers = dict.fromkeys(encoder.projection.layer_names(), (encoder.projection.width,) * 2)

    def connect(self, modality: str, seed: int) -> None:
        """An untrained connector for `modality`; maps and modality tokens begin as those of BASE."""
        torch.manual_seed(seed)
        width = self.encoder.token_width
        self.connectors[modality] = Connector(modality, width, self.llm, self.linked_blocks, **CONNECTOR).requires_grad_(False)
        if modality not in self.encoder.layouts:
            self.encoder.add(modality, LAYOUTS[modality], like=BASE)
        self.encoder.requires_grad_(False)

    def own(self, modality: str) -> dict[str, nn.Module]:
        """What `modality` has of its own in every method."""
        return {"maps": self.encoder.projection.modalities[modality], "connector": self.connectors[modality]}

    def latents(self, modality: str, rows: Sequence[int], generator: torch.Generator | None = None) -> LatentCache:
        """The latents of the moments of the questions `rows`."""
        adapters = self.adapters.get(modality)
        adapt = partial(adapters, generator=generator) if adapters else None
        features, views = self.data[modality].at(rows)
        return self.connectors[modality](*self.encoder.project(modality, features, views, adapt))

    @torch.no_grad()
    def right(self, modality: str, answering: Answering, rows: Sequence[int]) -> Tensor:
        """Which of the questions `rows` about `modality` are answered right, bool [rows]."""
        found = []
        for start in range(0, len(rows), AT_ONCE):
            part = list(rows[start : start + AT_ONCE])
            with fast(torch.device("cpu")):
                found.append(answering.loss(part, self.latents(modality, part))[1])
        return torch.cat(found)


Answerings = Mapping[str, Answering]
"""The LLM as a loss, by modality."""


def train(name: str, trained: Mapping[str, nn.Module], loss: Loss, steps: int, folder: Path, seed: int) -> None:
    """Train the modules `trained`. A training that is in `folder` already is read."""
    module = nn.ModuleDict(trained).requires_grad_(True)
    fit(name, module, loss, Schedule(steps, RATE, warmup=min(15, steps), checkpoint_every=100), folder, seed)
    module.requires_grad_(False)


def replay_loss(
    learned: Learned,
    modality: str,
    answerings: Answerings,
    kept: Mapping[str, Sequence[int]] | None = None,
    share: float = REPLAY,
) -> Loss:
    """The loss on questions about `modality`, a `share` of each step on those `kept` of another modality, each alone."""
    rows = learned.data[modality].train

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        parts = {modality: BATCH}
        if kept:
            older = sorted(kept)[int(rng.integers(len(kept)))]
            count = round(share * BATCH)
            parts = {modality: BATCH - count, older: count} if count < BATCH else {older: BATCH}
        total, rights = torch.zeros(()), 0.0
        for name, count in parts.items():
            source = kept[name] if kept and name in kept else rows
            drawn = rng.choice(source, min(count, len(source)), replace=False).tolist()
            value, right = answerings[name].loss(drawn, learned.latents(name, drawn, generator))
            total, rights = total + value * count / BATCH, rights + float(right.float().mean()) * count / BATCH
        return total, {"right": rights}

    return loss


def learn_base(learned: Learned, answerings: Answerings, steps: int, folder: Path) -> None:
    """Train the whole projection on images."""
    learned.connect(BASE, 0)
    trained = {**learned.own(BASE), "projection": learned.encoder.projection, "range": learned.encoder.range}
    train(BASE, trained, replay_loss(learned, BASE, answerings), steps, folder, 0)


def learn(
    method: str, learned: Learned, modality: str, answerings: Answerings, steps: int, folder: Path, seed: int
) -> dict[str, int]:
    """Teach `modality` with `method`. Returns how many parameters train: those that mix tokens, in the projection or beside it
    ("mixing"), and those of the modality alone ("own")."""
    older = [name for name in learned.connectors if name != BASE]
    learned.connect(modality, seed)
    own = learned.own(modality)
    if method == "full":
        mixing: nn.Module = learned.encoder.projection.experts
    elif method == "shared":
        mixing = learned.adapters.get(older[-1]) if older else ModalityAdapters(learned.layers, RANK)
        learned.adapters[modality] = mixing
    else:
        used = {name: learned.adapters[name] for name in older} if method == "in_adapters" else {}
        mixing = learned.adapters[modality] = ModalityAdapters(learned.layers, RANK, used)
    trained = {**own, "mixing": mixing}
    # A lone adapter depends on no older modality, so orders share its training; the first in-adapters have none to use.
    alone = method == "adapters" or (method == "in_adapters" and not older)
    place = folder / ("adapters" if alone else "_".join([method, *older]))
    if method == "shared":
        _learn_shared(learned, modality, trained, older, answerings, steps, place, seed)
    else:
        train(modality, trained, replay_loss(learned, modality, answerings), steps, place, seed)
    counted = {"mixing": [mixing], "own": own.values()}
    return {name: sum(p.numel() for part in parts for p in part.parameters()) for name, parts in counted.items()}


def _learn_shared(
    learned: Learned,
    modality: str,
    trained: dict[str, nn.Module],
    older: Sequence[str],
    answerings: Answerings,
    steps: int,
    place: Path,
    seed: int,
) -> None:
    """Train the shared adapter with replay, average it with what it was, and realign all maps and connectors on kept data."""
    mixing = trained["mixing"]
    kept = {name: kept_rows(learned.data[name]) for name in older}
    before = {name: value.clone() for name, value in mixing.state_dict().items()}
    train(modality, trained, replay_loss(learned, modality, answerings, kept), steps, place, seed)
    if not older:
        return
    weight = 1 / (len(older) + 1)
    mixing.load_state_dict({name: torch.lerp(before[name], value, weight) for name, value in mixing.state_dict().items()})
    names = [*older, modality]
    parts = {f"{name}_{part}": module for name in names for part, module in learned.own(name).items()}
    kept = {name: kept_rows(learned.data[name]) for name in names}
    loss = replay_loss(learned, modality, answerings, kept, share=1.0)
    train(modality, parts, loss, max(1, steps // REALIGN), place / "realigned", seed)


def kept_rows(data: Modality) -> list[int]:
    """The training questions that replay keeps."""
    return data.train[:: round(1 / REPLAY)]
