# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which way a question goes: to the robot's own state (by topic), to a description, or to the sensors.

A linear classifier of what the frozen LLM makes of the question: the mean of its token embeddings, and of the states that enter
block BLOCK. It belongs to one LLM and lies in the folder `router` of a model; training/question_router.py trains it, and
benchmark/routing.py measures it. Without one, the rules of config/question_rules.yaml decide.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..datatypes import BadInput
from ..io.weights import load_weights, save_weights
from ..resources import ROUTER
from .manifest import read_json
from .split_forward import can_split, lower_states

SENSED, DESCRIPTION = "sensed", "description"
"""The ways of questions about the surroundings; the others are topics of questions about the robot itself."""
BLOCK = 6
MOST_TOKENS = 64
"""A longer question is judged by its first tokens."""
LEAST = 0.5
"""A question goes to the sensors unless another way has at least this probability."""


class QuestionRouter(nn.Module):
    """Scores the `ways` of a question from its features, float32 [..., 2 d_model] of `question_features`."""

    def __init__(self, ways: Sequence[str], features: int) -> None:
        super().__init__()
        self.ways = tuple(ways)
        self.linear = nn.Linear(features, len(self.ways))

    def way(self, features: Tensor) -> str:
        """The way of one question."""
        probabilities = self.linear(features).softmax(dim=-1)
        best = int(probabilities.argmax())
        return self.ways[best] if float(probabilities[best]) >= LEAST else SENSED


@torch.inference_mode()
def question_features(llm: nn.Module, tokenizer: Any, question: str) -> Tensor:
    """What a router reads of a question, float32 [2 d_model]. No modality is connected for it."""
    ids = torch.tensor([tokenizer(question.strip())["input_ids"][:MOST_TOKENS]], device=llm.device)
    embedded, hidden = llm.model.embed_tokens(ids), lower_states(llm, ids, first_block=BLOCK)
    return torch.cat([embedded[0].float().mean(dim=0), hidden[0].float().mean(dim=0)])


def save_router(router: QuestionRouter, folder: Path, llm_revision: str) -> None:
    """Write the router of model folder `folder`."""
    place = folder / ROUTER
    place.mkdir(exist_ok=True)
    (place / "config.json").write_text(json.dumps({"llm_revision": llm_revision, "ways": router.ways}, indent=1) + "\n")
    save_weights(router, place / "model.safetensors")


def load_router(folder: Path, llm: nn.Module, llm_revision: str) -> QuestionRouter | None:
    """The router of model folder `folder`, None where there is none. Raises BadInput, also where it was made for another LLM."""
    place = folder / ROUTER
    if not place.is_dir() or not can_split(llm):
        return None
    content = read_json(place / "config.json")
    if content.get("llm_revision") != llm_revision:
        raise BadInput(f"{place} was made for LLM {content.get('llm_revision')!r}, not for {llm_revision!r}")
    ways = content.get("ways")
    if not isinstance(ways, list) or not 2 <= len(ways) <= 100 or not all(isinstance(way, str) for way in ways):
        raise BadInput(f"{place / 'config.json'} gives ways {str(ways)[:60]}, not a list of 2 to 100 texts")
    router = QuestionRouter(ways, 2 * llm.config.hidden_size)
    load_weights(router, place / "model.safetensors", "router")
    return router.to(llm.device).eval().requires_grad_(False)
