# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage four: before they are asked anything, the connectors learn to say what a phrase would have said.

The frozen LLM learned from phrases (text.py). A token that shows an object is matched with it, and its latents are drawn to the
keys and values of that object's phrase in every linked block; a token that shows nothing learns to close its own gate.
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
from ..simulator.questions.text_description import traffic_light_text, motion_facts, object_text
from ..simulator.truth import SceneTruth
from .connectors import TokenTable, heard
from .loop import Schedule, fit
from .text_scenes import phrase_states

GATE_SHARE = 0.5
"""Weight of the gates' loss beside that of keys and values."""
FARTHEST_MATCH = 2.0
"""How many units of votes.py a token may be away from what it shows."""


@dataclass(frozen=True, slots=True)
class Said:
    """What tokens of one frame and modality should say: token numbers, their phrases, and the tokens that nothing is known of."""

    tokens: list[int]
    phrases: list[str]
    unknown: list[int]


def sayings(truth: SceneTruth, rig: Rig, modality: str, places: np.ndarray) -> Said:
    """Match the tokens at `places`, float [T, 3], of one frame with what there is to say about it."""
    facts = motion_facts(truth)
    if modality == "imu":
        kinds = list(facts.values())
        told = [(token, fact) for token in range(len(places)) for fact in kinds[token % len(kinds)]]
        unknown = [token for token in range(len(places)) if not kinds[token % len(kinds)]]
        return Said([token for token, _ in told], [f"{fact} imu" for _, fact in told], unknown)
    graph = SceneGraph(truth, rig)
    wanted = [(item.position, object_text(graph, index, modality)) for index, item in enumerate(graph.objects)]
    if modality == "camera" and graph.light is not None:
        wanted.append((graph.light.position, traffic_light_text(graph)))
    found = nearest_matches([position for position, _ in wanted], places)
    told = {token: wanted[index][1] for index, token in found}
    # The first pooled token looks everywhere, so it tells whether the vehicle moves.
    pooled = int(np.argmax(places[:, 2] == 0))
    if facts["moving"]:
        told[pooled] = f"{facts['moving'][0]} {modality}"
    return Said(list(told), list(told.values()), [] if facts["moving"] else [pooled])


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
def phrase_latents(model: Model, phrases: Sequence[str]) -> dict[int, tuple[Tensor, Tensor]]:
    """Keys and values [phrases, H, K] of each phrase's last token, by linked block."""
    ids = [model.tokenizer(phrase, add_special_tokens=False)["input_ids"] for phrase in phrases]
    states = phrase_states(model.llm, ids, model.tokenizer.pad_token_id)
    first = model.llm.config.num_hidden_layers - model.linked_blocks
    latents = {}
    for index, block in enumerate(decoder_blocks(model.llm)):
        if index >= first:
            heard = states[index][:, None]
            key, value = FrozenProjections.of(block)(heard, heard.new_zeros(()), heard.new_zeros(()))
            latents[index] = key[:, :, 0], value[:, :, 0]
    return latents


def distillation_loss(
    model: Model,
    tables: Mapping[str, TokenTable],
    frames: Tensor,
    said: Mapping[str, Sequence[Said]],
) -> Tensor:
    """How far the latents of `frames` [F] are from what their tokens should say, relative to the size of what should be said."""
    total = torch.zeros(())
    for modality, told in said.items():
        connector, table = model.connectors[modality], tables[modality]
        values, places = heard(connector, table.at(frames))
        row = torch.tensor([index for index, one in enumerate(told) for _ in one.tokens])
        token = torch.tensor([token for one in told for token in one.tokens])
        speaks = torch.zeros(values.shape[:2])
        speaks[row, token] = 1.0
        known = torch.ones(values.shape[:2], dtype=torch.bool)
        for index, one in enumerate(told):
            known[index, one.unknown] = False
        salience = connector.salience_of(values, places)
        total = total + GATE_SHARE * functional.binary_cross_entropy_with_logits(salience[known].float(), speaks[known])
        bank = connector(values, places)
        for block, goals in phrase_latents(model, [phrase for one in told for phrase in one.phrases]).items():
            for goal, latent in zip(goals, (bank[block].key, bank[block].value), strict=True):
                goal, said_so = goal.float(), latent[row, :, token].float()
                total = total + functional.mse_loss(said_so, goal) / goal.square().mean() / len(bank)
    return total / len(said)


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
    said = {
        modality: [sayings(truth, rig, modality, table.places[frame].numpy()) for frame, truth in enumerate(truths)]
        for modality, table in tables.items()
    }

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        frames = rng.integers(len(truths), size=batch)
        chosen = {modality: [told[frame] for frame in frames] for modality, told in said.items()}
        return distillation_loss(model, tables, torch.from_numpy(frames), chosen), {}

    fit("imitation", model.connectors, loss, schedule, folder, seed)
    model.connectors.requires_grad_(False)
