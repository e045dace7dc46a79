# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A stage that teaches the modality-agnostic connector to read detections of real streets: crowds, rows, uncertain ranges.

It trains on synthetic layouts (synthetic_scenes.py) as synthetic detectors report them (synthetic_detections.py); nothing is
rendered.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..datatypes import BadInput, Question, Tokens
from ..encoders.objects import object_tokens
from ..latent.connector import Connector
from ..model import Model
from ..rig import Rig
from ..simulator.questions import ask
from ..simulator.truth import SceneTruth
from .connectors import answers_loss
from .lessons import Batch, draw_depth
from .loop import Schedule, fit
from .lower_cache import LowerCache
from .synthetic_detections import detect
from .synthetic_scenes import RIG, random_layout

MODALITY = "objects"
ASKED = {"exist": 0.2, "count": 0.35, "object": 0.13, "status": 0.08, "comparison": 0.06, "distance": 0.18}
"""How often each type is asked: counting comes last in learning, so it is asked most."""


def train_on_detections(model: Model, schedule: Schedule, batch: tuple[int, int], folder: Path, seed: int) -> None:
    """Train `model.universal` in place on `batch[0]` layouts with `batch[1]` questions each a step; nothing else trains.

    Raises BadInput where the model has none.
    """
    if model.universal is None:
        raise BadInput(f"model {model.name} has no modality-agnostic connector to train on detections")
    connector: Connector = model.universal
    model.connectors.requires_grad_(False)
    connector.requires_grad_(True)
    deepest = len(connector.heads)
    texts = LowerCache(model.llm, model.llm.config.num_hidden_layers - deepest)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        drawn, values, places, valid = draw(model, batch, rng)
        banks = {MODALITY: connector(values, places, valid, linked_blocks=draw_depth(deepest, rng))}
        value, right = answers_loss(model, banks, drawn, texts)
        return value, {"right": right}

    fit("detections", connector, loss, schedule, folder, seed)
    connector.eval().requires_grad_(False)


def draw(model: Model, size: tuple[int, int], rng: np.random.Generator) -> tuple[Batch, Tensor, Tensor, Tensor]:
    """Questions about layouts, and what detectors report of these: values [F, T, D], places [F, T, 3], valid bool [F, T]."""
    asked: list[tuple[int, Question]] = []
    tokens: list[Tokens] = []
    while len(tokens) < size[0]:
        truth, view = random_layout(rng)
        questions = _questions(truth, RIG, size[1], rng)
        if questions:
            asked += [(len(tokens), question) for question in questions]
            tokens.append(object_tokens(detect(truth, view, rng), truth.stamp, view=view))
    values, places = (
        pad_sequence([torch.from_numpy(getattr(item, part)) for item in tokens], batch_first=True)
        for part in ("values", "places")
    )
    valid = pad_sequence([torch.ones(len(item.values), dtype=torch.bool) for item in tokens], batch_first=True)
    pairs = [(model.prompt.question_ids(q.question), model.prompt.answer_ids(q.answer)) for _, q in asked]
    seen = {MODALITY: torch.ones(len(pairs), dtype=torch.bool)}
    return Batch(torch.arange(len(tokens)), RIG, [], pairs, [row for row, _ in asked], seen), values, places, valid


def _questions(truth: SceneTruth, rig: Rig, count: int, rng: np.random.Generator) -> list[Question]:
    return ask(truth, rig, rng, count, shares=ASKED)
