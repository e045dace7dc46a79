# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scenes as text: phrases that observers tell, questions about them, and the phrases as latents that a question can attend to.

Each phrase is read on its own; what two observers tell of one thing shares one vote, as it will when they are sensors (votes.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM

from ..datatypes import Question
from ..latent.attention_adapter import Latent
from ..latent.decoder_blocks import FrozenProjections, decoder_blocks
from ..latent.prompt import Prompt
from ..latent.split_forward import through
from ..rig import Rig
from ..simulator.questions.programs import looked_at, parse
from ..simulator.questions.scene_graph import SceneGraph, members
from ..simulator.questions.text_description import TEXT_SENSORS, describe
from ..simulator.truth import SceneTruth
from .packing import padded

SUMMED = 2
"""After so many blocks a phrase is summed up in its last token, which goes on alone."""
LESSONS = {
    "exist": 0.13, "count": 0.22, "object": 0.10, "status": 0.13, "comparison": 0.07, "ego": 0.06, "distance": 0.07, "light": 0.22
}  # fmt: skip
"""How often each type is asked in training: what is learned late, colours and counts, more often than it will be asked."""
LOOKS = 2
"""How many sets a question may refer to, and be answered from."""


@dataclass(frozen=True, slots=True)
class TextScene:
    """A description as phrases, each with its name, its observer's number and its thing's, and questions about it, in token ids.

    A question is (prompt, answer with end token); `looks` gives its sets of things: LOOKS that it refers to, LOOKS that it is
    answered from, empty ones where there are fewer.
    """

    phrases: list[list[int]]
    names: list[list[int]]
    observers: list[int]
    things: list[int | None]
    questions: list[tuple[list[int], list[int]]]
    looks: list[list[set[int]]]


def write_scene(truth: SceneTruth, rig: Rig, prompt: Prompt, asked: Sequence[Question], rng: np.random.Generator) -> TextScene:
    """One scene as text, with the questions that are `asked` about it."""
    told, graph = describe(truth, rig, rng, noise=rng.random()), SceneGraph(truth, rig)
    looks = [[[set(members(part)) for part in sets] for sets in looked_at(parse(q.program), graph)] for q in asked]
    texts, names = [phrase.text for phrase in told], [phrase.name for phrase in told]
    return TextScene(
        *([prompt.tokenizer(words, add_special_tokens=False)["input_ids"] for words in part] for part in (texts, names)),
        [TEXT_SENSORS.index(phrase.sensor) for phrase in told],
        [phrase.thing for phrase in told],
        [(prompt.question_ids(q.question), prompt.answer_ids(q.answer)) for q in asked],
        [[(*sets, *[set()] * LOOKS)[look] for sets in both for look in range(LOOKS)] for both in looks],
    )


def phrase_states(llm: LlamaForCausalLM, phrases: Sequence[Sequence[int]], pad: int) -> list[Tensor]:
    """What enters each block of the last token of each phrase: [phrases, d_model] by block."""
    ends, rows = torch.tensor([len(phrase) - 1 for phrase in phrases]), torch.arange(len(phrases))
    hidden, positions = llm.model.embed_tokens(padded(phrases, pad)), None
    states = [hidden[rows, ends]]
    for block in range(llm.config.num_hidden_layers - 1):
        if block == SUMMED:
            hidden, positions = states[-1][:, None], ends[:, None]
        hidden = through(llm, hidden, None, positions, slice(block, block + 1))
        states.append(hidden[rows, ends] if block < SUMMED else hidden[:, 0])
    return states


def forgotten(llm: LlamaForCausalLM, names: Sequence[Sequence[int]], state: Tensor, pad: int) -> Tensor:
    """How little can be read off the states [phrases, d_model] of the names that they sum up: mean cross-entropy of the words."""
    said = llm.lm_head(llm.model.norm(state)).log_softmax(-1)
    words = padded(names, pad)
    there = (torch.arange(words.shape[1]) < torch.tensor([[len(name)] for name in names])).float()
    return -(said.gather(1, words) * there / there.sum(1, keepdim=True)).sum(1).mean()


def phrase_bank(
    llm: LlamaForCausalLM, scenes: Sequence[TextScene], states: Sequence[Tensor], first_block: int
) -> dict[int, Latent]:
    """The phrases of all scenes, as `states`, as latents of the blocks from `first_block` on: a row per scene, a position per
    phrase."""
    scene_of = torch.repeat_interleave(torch.arange(len(scenes)), torch.tensor([len(scene.phrases) for scene in scenes]))
    rank = torch.cat([torch.arange(len(scene.phrases)) for scene in scenes])
    gate = torch.full((len(scenes), int(rank.max()) + 1), -torch.inf)
    gate[scene_of, rank] = 0.0
    bank = {}
    for index, block in enumerate(decoder_blocks(llm)):
        if index >= first_block:
            heard = states[index]
            table = heard.new_zeros(*gate.shape, heard.shape[-1]).index_put((scene_of, rank), heard)
            nothing = table.new_zeros(())
            bank[index] = Latent(*FrozenProjections.of(block)(table, nothing, nothing), gate)
    return bank


def phrase_gates(scenes: Sequence[TextScene], heard: Tensor) -> Tensor:
    """The log-gate of each phrase for each question, [questions, phrases]: minus infinity where its observer is not `heard`, and
    one vote shared by the observers that are heard and tell of the same thing."""
    size = max(len(scene.phrases) for scene in scenes)
    gates = []
    for scene in scenes:
        phrases, observers = len(scene.phrases), torch.tensor(scene.observers)
        things = torch.tensor([-1 - place if thing is None else thing for place, thing in enumerate(scene.things)])
        same = (things[:, None] == things[None, :]).float()
        rows = heard[sum(map(len, gates)) :][: len(scene.questions)][:, observers]
        votes = (rows.float() @ same).log().neg().masked_fill(~rows, -torch.inf)
        gates.append(functional.pad(votes, (0, size - phrases), value=-torch.inf))
    return torch.cat(gates)


def wanted_looks(scenes: Sequence[TextScene]) -> Tensor:
    """Which phrases each look of each question should find: bool [questions, 2 * LOOKS, phrases]."""
    size = max(len(scene.phrases) for scene in scenes)
    rows = [
        [[place < len(scene.things) and scene.things[place] in look for place in range(size)] for look in looks]
        for scene in scenes
        for looks in scene.looks
    ]
    return torch.tensor(rows).view(-1, 2 * LOOKS, size)
