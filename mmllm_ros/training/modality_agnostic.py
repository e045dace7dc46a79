# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage six: trains the modality-agnostic connector, the source of warm starts for new modalities (warm_start.py).

It reads only predicted attributes and positions. It is trained on synthetic sensors, drawn anew for each frame
(synthetic_sensors.py), together with any of the model's own modalities, which do not train. One projection for all modalities is
the idea of OneLLM (arXiv 2312.03700, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..datatypes import BadInput
from ..model import Model
from ..resources import MODALITY_AGNOSTIC
from ..rig import Rig
from ..simulator.truth import SceneTruth
from .batches import draw_batch, draw_depth
from .connectors import TokenTable, answers_loss, batch_latents
from .loop import Schedule, fit
from .lower_cache import LowerCache
from .synthetic_sensors import TOKEN_WIDTH, Facts, synthetic_tokens
from .warm_start import can_warm_start, warm_started

SYNTHETIC = "synthetic"
"""Name of the synthetic modality among the model's own."""


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
    """Give `model` a modality-agnostic connector, trained on `batch[0]` frames with `batch[1]` questions each a step.

    Training continues from the one that `model` has, else from a connector that reads predicted attributes. Nothing else
    trains. Raises BadInput: no connector reads predicted attributes.
    """
    candidates = (one for one in model.connectors.values() if can_warm_start(one, TOKEN_WIDTH))
    source = model.modality_agnostic or next(candidates, None)
    if source is None:
        raise BadInput(f"stage modality_agnostic: none of {list(model.modalities)} has predicted attributes")
    connector = warm_started(model, source, MODALITY_AGNOSTIC, TOKEN_WIDTH)
    model.connectors.requires_grad_(False)
    connector.requires_grad_(True)
    deepest = len(connector.heads)
    texts = LowerCache(model.llm, model.llm.config.num_hidden_layers - deepest)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        drawn, depth = draw_batch(model, tuple(tables), truths, rig, batch, rng), draw_depth(deepest, rng)
        values, places = synthetic_tokens(Facts.of([truths[frame] for frame in drawn.frames], drawn.rig), rng)
        latent_caches = {**batch_latents(model, tables, drawn, depth), SYNTHETIC: connector(values, places, linked_blocks=depth)}
        drawn.seen[SYNTHETIC] = torch.ones(len(drawn.pairs), dtype=torch.bool)
        value, right = answers_loss(model, latent_caches, drawn, texts)
        return value, {"right": right}

    fit("modality_agnostic", connector, loss, schedule, folder, seed)
    model.modality_agnostic = connector.eval().requires_grad_(False)
