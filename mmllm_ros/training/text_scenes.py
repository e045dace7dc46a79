# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Text scene descriptions: statements of text sensors, questions about them, and the statements as latents for the questions.

Each statement is encoded by itself. Statements of several text sensors about one thing share its weight, as tokens of sensors do
(latent/duplicate_suppression.py).
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
from ..latent.split_forward import run_blocks
from ..rig import Rig
from ..simulator.questions.programs import object_sets, parse
from ..simulator.questions.scene_graph import SceneGraph, members
from ..simulator.questions.text_description import TEXT_SENSORS, describe
from ..simulator.truth import SceneTruth
from .packing import padded

SUMMARY_BLOCK = 2
"""From this block on only the last token of a statement is computed."""
QUESTION_SHARES = {
    "exist": 0.13, "count": 0.22, "object": 0.10, "status": 0.13, "comparison": 0.07, "ego": 0.06, "distance": 0.07, "light": 0.22
}  # fmt: skip
"""Share of each question type in training; colours and counts, which are learned late, are over-represented."""
TARGET_SETS = 2
"""Number of object sets that a question may refer to, and number that it may be answered from."""


@dataclass(frozen=True, slots=True)
class TextScene:
    """A description and questions about it, as token ids; each statement has a name, a sensor number and a thing number.

    A question is (prompt, answer with end token); `target_sets` has TARGET_SETS sets of things that it refers to and
    TARGET_SETS that it is answered from; missing sets are empty.
    """

    statements: list[list[int]]
    names: list[list[int]]
    sensors: list[int]
    things: list[int | None]
    questions: list[tuple[list[int], list[int]]]
    target_sets: list[list[set[int]]]


def write_scene(truth: SceneTruth, rig: Rig, prompt: Prompt, asked: Sequence[Question], rng: np.random.Generator) -> TextScene:
    """The text description of a scene, with the questions `asked` about it."""
    described, graph = describe(truth, rig, rng, noise=rng.random()), SceneGraph(truth, rig)
    target_sets = [[[set(members(part)) for part in sets] for sets in object_sets(parse(q.program), graph)] for q in asked]
    texts, names = [statement.text for statement in described], [statement.name for statement in described]
    return TextScene(
        *([prompt.tokenizer(words, add_special_tokens=False)["input_ids"] for words in part] for part in (texts, names)),
        [TEXT_SENSORS.index(statement.sensor) for statement in described],
        [statement.thing for statement in described],
        [(prompt.question_ids(q.question), prompt.answer_ids(q.answer)) for q in asked],
        [[(*sets, *[set()] * TARGET_SETS)[number] for sets in both for number in range(TARGET_SETS)] for both in target_sets],
    )


def statement_states(llm: LlamaForCausalLM, statements: Sequence[Sequence[int]], pad: int) -> list[Tensor]:
    """The hidden state of each statement's last token before each block: [statements, d_model] by block."""
    ends, rows = torch.tensor([len(statement) - 1 for statement in statements]), torch.arange(len(statements))
    hidden, positions = llm.model.embed_tokens(padded(statements, pad)), None
    states = [hidden[rows, ends]]
    for block in range(llm.config.num_hidden_layers - 1):
        if block == SUMMARY_BLOCK:
            hidden, positions = states[-1][:, None], ends[:, None]
        hidden = run_blocks(llm, hidden, None, positions, slice(block, block + 1))
        states.append(hidden[rows, ends] if block < SUMMARY_BLOCK else hidden[:, 0])
    return states


def name_loss(llm: LlamaForCausalLM, names: Sequence[Sequence[int]], state: Tensor, pad: int) -> Tensor:
    """Mean cross-entropy of the words of each statement's name, predicted from its state [statements, d_model]."""
    log_probabilities = llm.lm_head(llm.model.norm(state)).log_softmax(-1)
    words = padded(names, pad)
    there = (torch.arange(words.shape[1]) < torch.tensor([[len(name)] for name in names])).float()
    return -(log_probabilities.gather(1, words) * there / there.sum(1, keepdim=True)).sum(1).mean()


def statement_latents(
    llm: LlamaForCausalLM, scenes: Sequence[TextScene], states: Sequence[Tensor], first_block: int
) -> dict[int, Latent]:
    """Latents of the blocks from `first_block` on, from the `states` of all statements: a row per scene, a slot per statement."""
    scene_of = torch.repeat_interleave(torch.arange(len(scenes)), torch.tensor([len(scene.statements) for scene in scenes]))
    rank = torch.cat([torch.arange(len(scene.statements)) for scene in scenes])
    gate = torch.full((len(scenes), int(rank.max()) + 1), -torch.inf)
    gate[scene_of, rank] = 0.0
    latent_cache = {}
    for index, block in enumerate(decoder_blocks(llm)):
        if index >= first_block:
            state = states[index]
            table = state.new_zeros(*gate.shape, state.shape[-1]).index_put((scene_of, rank), state)
            nothing = table.new_zeros(())
            latent_cache[index] = Latent(*FrozenProjections.of(block)(table, nothing, nothing), gate)
    return latent_cache


def statement_gates(scenes: Sequence[TextScene], visible: Tensor) -> Tensor:
    """Log-gates [questions, statements]: minus infinity where the sensor is not `visible`, else minus the logarithm of the number
    of visible statements about the same thing."""
    size = max(len(scene.statements) for scene in scenes)
    gates = []
    for scene in scenes:
        statements, sensors = len(scene.statements), torch.tensor(scene.sensors)
        things = torch.tensor([-1 - place if thing is None else thing for place, thing in enumerate(scene.things)])
        same = (things[:, None] == things[None, :]).float()
        rows = visible[sum(map(len, gates)) :][: len(scene.questions)][:, sensors]
        weights = (rows.float() @ same).log().neg().masked_fill(~rows, -torch.inf)
        gates.append(functional.pad(weights, (0, size - statements), value=-torch.inf))
    return torch.cat(gates)


def attention_targets(scenes: Sequence[TextScene]) -> Tensor:
    """Which statements belong to each target set of each question: bool [questions, 2 * TARGET_SETS, statements]."""
    size = max(len(scene.statements) for scene in scenes)
    rows = [
        [[place < len(scene.things) and scene.things[place] in target for place in range(size)] for target in target_sets]
        for scene in scenes
        for target_sets in scene.target_sets
    ]
    return torch.tensor(rows).view(-1, 2 * TARGET_SETS, size)
