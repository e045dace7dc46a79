# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage four: key/value distillation. Trains connectors to give the latents of the statements that the LLM learned from.

A token of an object is matched with the object, and its latents are drawn to the keys and values of that object's statement in
every linked block (text.py). Tokens without an object are trained to close their gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..angles import wrapped
from ..latent.decoder_blocks import FrozenProjections, decoder_blocks
from ..latent.duplicate_suppression import BEARING_UNIT, LEAST_RANGE, RANGE_UNIT
from ..model import Model
from ..rig import Rig
from ..simulator.questions.scene_graph import SceneGraph
from ..simulator.questions.text_description import motion_facts, object_text, traffic_light_text
from ..simulator.truth import SceneTruth
from .connectors import TokenTable, on_device
from .loop import Schedule, fit
from .text_scenes import statement_states

GATE_SHARE = 0.5
"""Weight of the gates' loss relative to that of keys and values."""
FARTHEST_MATCH = 2.0
"""Largest distance between a token and its object, in the units of latent/duplicate_suppression.py."""


@dataclass(frozen=True, slots=True)
class TokenTargets:
    """Targets of one frame and modality: token numbers, their statements, and the tokens without a target for the gate."""

    tokens: list[int]
    statements: list[str]
    unknown: list[int]


def token_targets(truth: SceneTruth, rig: Rig, modality: str, places: np.ndarray) -> TokenTargets:
    """Match the tokens at `places`, float [T, 3], of one frame with statements about it."""
    facts = motion_facts(truth)
    if modality == "imu":
        kinds = list(facts.values())
        pairs = [(token, fact) for token in range(len(places)) for fact in kinds[token % len(kinds)]]
        unknown = [token for token in range(len(places)) if not kinds[token % len(kinds)]]
        return TokenTargets([token for token, _ in pairs], [f"{fact} imu" for _, fact in pairs], unknown)
    graph = SceneGraph(truth, rig)
    wanted = [(item.position, object_text(graph, index, modality)) for index, item in enumerate(graph.objects)]
    if modality == "camera" and graph.light is not None:
        wanted.append((graph.light.position, traffic_light_text(graph)))
    found = nearest_matches([position for position, _ in wanted], places)
    targets = {token: wanted[index][1] for index, token in found}
    # The first pooled token covers the whole view: its target is whether the vehicle moves.
    pooled = int(np.argmax(places[:, 2] == 0))
    if facts["moving"]:
        targets[pooled] = f"{facts['moving'][0]} {modality}"
    return TokenTargets(list(targets), list(targets.values()), [] if facts["moving"] else [pooled])


def nearest_matches(positions: Sequence[tuple[float, float, float]], places: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (object, token), each object and each token at most once, the closest pairs first; pooled tokens match nothing."""
    if not positions:
        return []
    x, y, _ = np.array(positions).T
    turn = wrapped(np.arctan2(y, x)[:, None] - places[None, :, 0])
    far = np.log(np.maximum(np.hypot(x, y), LEAST_RANGE))[:, None] - np.log(np.maximum(places[None, :, 2], LEAST_RANGE))
    apart = np.hypot(turn / BEARING_UNIT, far / RANGE_UNIT)
    apart[:, places[:, 2] == 0] = np.inf
    pairs = []
    while apart.size and apart.min() <= FARTHEST_MATCH:
        index, token = np.unravel_index(apart.argmin(), apart.shape)
        pairs.append((int(index), int(token)))
        apart[index], apart[:, token] = np.inf, np.inf
    return pairs


@torch.no_grad()
def target_latents(model: Model, statements: Sequence[str]) -> dict[int, tuple[Tensor, Tensor]]:
    """Keys and values [statements, H, K] of each statement's last token, by linked block."""
    ids = [model.tokenizer(statement, add_special_tokens=False)["input_ids"] for statement in statements]
    states = statement_states(model.llm, ids, model.tokenizer.pad_token_id)
    first = model.llm.config.num_hidden_layers - model.linked_blocks
    latents = {}
    for index, block in enumerate(decoder_blocks(model.llm)):
        if index >= first:
            state = states[index][:, None]
            key, value = FrozenProjections.of(block)(state, state.new_zeros(()), state.new_zeros(()))
            latents[index] = key[:, :, 0], value[:, :, 0]
    return latents


def distillation_loss(
    model: Model,
    tables: Mapping[str, TokenTable],
    frames: Tensor,
    targets: Mapping[str, Sequence[TokenTargets]],
) -> Tensor:
    """Squared error of the latents of `frames` [F] relative to the mean square of their targets, plus the gates' loss."""
    total = torch.zeros(())
    for modality, wanted in targets.items():
        connector, table = model.connectors[modality], tables[modality]
        values, places = on_device(connector, table.at(frames))
        row = torch.tensor([index for index, one in enumerate(wanted) for _ in one.tokens])
        token = torch.tensor([token for one in wanted for token in one.tokens])
        has_target = torch.zeros(values.shape[:2])
        has_target[row, token] = 1.0
        known = torch.ones(values.shape[:2], dtype=torch.bool)
        for index, one in enumerate(wanted):
            known[index, one.unknown] = False
        token_gate = connector.token_gate_logits(values, places)
        total = total + GATE_SHARE * functional.binary_cross_entropy_with_logits(token_gate[known].float(), has_target[known])
        latent_cache = connector(values, places)
        for block, goals in target_latents(model, [statement for one in wanted for statement in one.statements]).items():
            for goal, latent in zip(goals, (latent_cache[block].key, latent_cache[block].value), strict=True):
                goal, output = goal.float(), latent[row, :, token].float()
                total = total + functional.mse_loss(output, goal) / goal.square().mean() / len(latent_cache)
    return total / len(targets)


def train_distillation(
    model: Model,
    tables: Mapping[str, TokenTable],
    truths: Sequence[SceneTruth],
    rig: Rig,
    schedule: Schedule,
    batch: int,
    folder: Path,
    seed: int,
) -> None:
    """Train `model.connectors` in place on `batch` frames a step."""
    model.connectors.requires_grad_(True)
    targets = {
        modality: [token_targets(truth, rig, modality, table.places[frame].numpy()) for frame, truth in enumerate(truths)]
        for modality, table in tables.items()
    }

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        frames = rng.integers(len(truths), size=batch)
        chosen = {modality: [of_frame[frame] for frame in frames] for modality, of_frame in targets.items()}
        return distillation_loss(model, tables, torch.from_numpy(frames), chosen), {}

    fit("distillation", model.connectors, loss, schedule, folder, seed)
    model.connectors.requires_grad_(False)
