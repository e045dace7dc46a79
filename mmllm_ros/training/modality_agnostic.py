# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage six: a connector that reads whatever a sensor reads, for sensors that come later to inherit (inherit.py).

It hears nothing but read-outs and places, of sensors that are made up anew in each frame (imagined_sensor.py), beside any of the
model's own, which stay as they are. As one projection serves all modalities in OneLLM (papers.md 2), it serves those to come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..datatypes import BadInput
from ..latent.checkpoint import UNIVERSAL
from ..model import Model
from ..rig import Rig
from ..simulator.truth import SceneTruth
from .batches import draw_batch, draw_depth
from .connectors import TokenTable, answers_loss, said
from .loop import Schedule, fit
from .lower_cache import LowerCache
from .synthetic_sensors import TOKEN_WIDTH, Facts, synthetic_tokens
from .warm_start import can_warm_start, warm_started

NEWCOMER = "newcomer"
"""What an imagined sensor is called beside the model's own."""


def train_modality_agnostic(
    model: Model,
    tables: Mapping[str, TokenTable],
    truths: Sequence[SceneTruth],
    rig: Rig,
    schedule: Schedule,
    batch: tuple[int, int],
    folder: Path,
    seed: int,
) -> None:
    """Give `model` a universal connector, trained on `batch[0]` frames with `batch[1]` questions each a step.

    One that `model` has goes on learning; else it begins with what a sibling makes of read-outs. Nothing else of `model` trains.
    Raises BadInput: no sibling has read-outs.
    """
    siblings = (one for one in model.connectors.values() if can_warm_start(one, TOKEN_WIDTH))
    donor = model.universal or next(siblings, None)
    if donor is None:
        raise BadInput(f"stage universal: none of {list(model.modalities)} has read-outs")
    connector = warm_started(model, donor, UNIVERSAL, TOKEN_WIDTH)
    model.connectors.requires_grad_(False)
    connector.requires_grad_(True)
    deepest = len(connector.heads)
    texts = LowerCache(model.llm, model.llm.config.num_hidden_layers - deepest)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        drawn, depth = draw_batch(model, tuple(tables), truths, rig, batch, rng), draw_depth(deepest, rng)
        values, places = synthetic_tokens(Facts.of([truths[frame] for frame in drawn.frames], drawn.rig), rng)
        banks = {**said(model, tables, drawn, depth), NEWCOMER: connector(values, places, linked_blocks=depth)}
        drawn.seen[NEWCOMER] = torch.ones(len(drawn.pairs), dtype=torch.bool)
        value, right = answers_loss(model, banks, drawn, texts)
        return value, {"right": right}

    fit("universal", connector, loss, schedule, folder, seed)
    model.universal = connector.eval().requires_grad_(False)
