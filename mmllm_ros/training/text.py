# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage three: trains a small LLM on text to answer questions about described scenes, and to give likely answers without one.

A description is a set of statements, one per fact and text sensor. Each statement is encoded by itself; in the upper blocks a
question attends to the last token of every statement through the attention adapter. Later, with the LLM frozen, the latents of
connectors take the place of these statements. The visible text sensors and the first linked block are drawn at random, so that
the trained LLM works with any modalities and any number of linked blocks.

Answers alone train chains of look-ups slowly, so the attention of some heads is supervised: one head for what a question refers
to ("to the left of the bus"), one in a later block for what the answer is read from. Statements about one thing share its weight.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ..datatypes import PLACE_WAVELENGTHS
from ..latent.attention_adapter import Latent, attach, queries
from ..latent.prompt import SLOT, Prompt
from ..latent.split_forward import lower_states, upper
from ..rig import Rig
from ..simulator.questions.question_maker import ask, vocabulary
from ..simulator.questions.text_description import AXIS_WORDS, FARTHEST, TEXT_SENSORS
from ..simulator.truth import SceneTruth
from .loop import Schedule, fit
from .packing import Packed, pack, packed_loss
from .synthetic_scenes import rearrange, synthetic_scene
from .text_scenes import (
    QUESTION_SHARES,
    TARGET_SETS,
    TextScene,
    attention_targets,
    name_loss,
    statement_gates,
    statement_latents,
    statement_states,
    write_scene,
)
from .tokenizer import word_tokenizer

ALL_SENSORS = 0.55
"""Share of questions with all text sensors visible; the others draw a subset uniformly, the empty one included."""
FULL_DEPTH = 0.6
"""Share of steps with the lowest possible first linked block."""
ROPE_THETA = 1e7
SCENES = 12_000
"""Number of scenes of one stage; with 12,000 each is used about three times in a thousand steps."""
ATTENTION_WEIGHT = 0.3
"""Weight of the attention supervision loss relative to that of the answers."""
NAME_WEIGHT = 1.0
"""Weight of the loss that predicts a statement's name from its state; otherwise colours are learned late or never."""


def make_tokenizer(prompt_template: str) -> PreTrainedTokenizerFast:
    """The tokenizer of the question language, with the words of the prompt."""
    return word_tokenizer([*vocabulary(), prompt_template.replace(SLOT, " ")])


def draw_visible(rng: np.random.Generator, questions: int) -> Tensor:
    """Which text sensors are visible to each question: bool [questions, sensors]."""
    visible = rng.random((questions, len(TEXT_SENSORS))) < 0.5
    return torch.as_tensor(visible | (rng.random(questions) < ALL_SENSORS)[:, None])


@dataclass(frozen=True, slots=True)
class TextPass:
    """A forward pass of the LLM on packed questions: `logits` at their places, by block the `latents` of the visible statements
    and the `queries` of the attention."""

    packed: Packed
    latents: dict[int, Latent]
    queries: dict[int, Tensor]
    logits: Tensor


def text_passes(
    llm: LlamaForCausalLM, scenes: Sequence[TextScene], states: Sequence[Tensor], visible: Tensor, first_block: int, pad: int
) -> Iterator[TextPass]:
    """Forward passes of all questions of `scenes` with the statements' `states`; `visible` [questions, sensors] are the text
    sensors of each, linked from `first_block` on."""
    questions = [question for scene in scenes for question in scene.questions]
    scene_of = torch.repeat_interleave(torch.arange(len(scenes)), torch.tensor([len(scene.questions) for scene in scenes]))
    latent_cache, gates = statement_latents(llm, scenes, states, first_block), statement_gates(scenes, visible)
    for packed in pack(questions, range(len(questions)), pad, llm.device):
        latents = {block: latent.of_rows(scene_of[packed.frames], gates[packed.frames]) for block, latent in latent_cache.items()}
        where = {"first_block": first_block, "position_ids": packed.positions}
        hidden = lower_states(llm, packed.ids, packed.visible, **where)
        with queries() as block_queries:
            logits = upper(llm, hidden, latents, packed.visible, positions=packed.places, **where)
        yield TextPass(packed, latents, block_queries, logits)


def text_loss(
    llm: LlamaForCausalLM, scenes: Sequence[TextScene], visible: Tensor, first_block: int, pad: int
) -> tuple[Tensor, dict[str, float]]:
    """Loss of all questions of `scenes`, with `visible` [questions, sensors] linked from `first_block` on, and its parts."""
    names, wanted = [name for scene in scenes for name in scene.names], attention_targets(scenes)
    states = statement_states(llm, [statement for scene in scenes for statement in scene.statements], pad)
    answers, attention, right = torch.zeros(()), torch.zeros(()), 0
    for one in text_passes(llm, scenes, states, visible, first_block, pad):
        value, count = packed_loss(one.logits, one.packed)
        answers, right = answers + value, right + count
        attention = attention + attention_supervision_loss(
            llm, one.queries, one.latents, wanted[one.packed.frames], one.packed.places[:, 0]
        )
    name_error = sum(name_loss(llm, names, states[block], pad) for block in supervised_blocks(llm))
    parts = {"answers": answers.item() / len(visible), "right": right / len(visible)}
    parts |= {"attention": attention.item() / len(visible), "names": name_error.item()}
    return (answers + ATTENTION_WEIGHT * attention) / len(visible) + NAME_WEIGHT * name_error, parts


def supervised_blocks(llm: LlamaForCausalLM) -> tuple[int, int]:
    """The block whose heads are supervised to attend to what a question refers to, and that for what it is answered from."""
    blocks = llm.config.num_hidden_layers
    return blocks - 4, blocks - 2


def attention_supervision_loss(
    llm: LlamaForCausalLM, block_queries: dict[int, Tensor], latents: dict[int, Latent], wanted: Tensor, last: Tensor
) -> Tensor:
    """Cross-entropy between the attention of the supervised heads and its targets, summed over rows.

    There is one head per target set; the attention is that of the token before the answer (`last` [R]), the targets are the
    statements in `wanted` [R, 2 * TARGET_SETS, statements], weighted by their gates.
    """
    group = llm.config.num_attention_heads // llm.config.num_key_value_heads
    total = torch.zeros(())
    for number in range(2 * TARGET_SETS):
        block, head = supervised_blocks(llm)[number // TARGET_SETS], number % TARGET_SETS * group
        if block not in block_queries:
            continue
        gate = latents[block].log_gate
        target = gate.exp() * wanted[:, number]
        rows = target.any(-1).nonzero()[:, 0]
        query, key = block_queries[block][rows, head, last[rows]], latents[block].key[rows, head // group]
        score = (key @ query[..., None]).squeeze(-1) * query.shape[-1] ** -0.5 + gate[rows]
        share = target[rows] / target[rows].sum(-1, keepdim=True)
        total = total - (share * score.log_softmax(-1).masked_fill(share == 0, 0.0)).sum()
    return total


def make_llm(tokenizer: PreTrainedTokenizerFast, shape: dict[str, int]) -> LlamaForCausalLM:
    """A Llama of the given shape for `tokenizer`.

    A large rope_theta keeps most of a query unrotated, since latent keys have no rotary embedding.
    """
    llm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            tie_word_embeddings=True,
            max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
            # The default 0.02 is for widths in the thousands and too small for a narrow model.
            initializer_range=shape["hidden_size"] ** -0.5,
            **shape,
        )
    )
    embed_places(llm, tokenizer)
    attach(llm)
    return llm


@torch.no_grad()
def embed_places(llm: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Initialize the words of positions (13m, ahead12, along30x4) with sinusoids, in orthogonal directions per axis."""
    table, vocabulary = llm.get_input_embeddings().weight, tokenizer.get_vocab()
    axes = [{f"{ahead}{{}}": 1, f"{behind}{{}}": -1} for ahead, behind in AXIS_WORDS.values()]
    for axis in ({"{}m": 1}, *axes):
        directions = nn.init.orthogonal_(torch.empty(2 * len(PLACE_WAVELENGTHS), table.shape[1]))
        directions *= table.std() * (table.shape[1] / len(PLACE_WAVELENGTHS)) ** 0.5
        for word, sign in axis.items():
            for metres in range(FARTHEST + 1):
                phase = 2 * math.pi * sign * metres / torch.tensor(PLACE_WAVELENGTHS)
                table[vocabulary[word.format(metres)]] = torch.cat([phase.sin(), phase.cos()]) @ directions


def draw_truth(truths: Sequence[SceneTruth], rig: Rig, most: int, rng: np.random.Generator) -> SceneTruth:
    """A synthetic scene of at most `most` objects, or with even odds one of `truths`, every second of which is rearranged."""
    if not truths or rng.random() < 0.5:
        return synthetic_scene(rng, rig, most)
    truth = truths[rng.integers(len(truths))]
    return rearrange(truth, rng) if rng.random() < 0.5 else truth


def train_text(
    name: str,
    llm: LlamaForCausalLM,
    truths: Sequence[SceneTruth],
    rig: Rig,
    prompt: Prompt,
    schedule: Schedule,
    batch: tuple[int, int, int],
    folder: Path,
    seed: int,
) -> None:
    """Train `llm` in place on `batch[0]` scenes with `batch[1]` questions each a step.

    Scenes are synthetic, of at most `batch[2]` objects; half come from `truths` where there are any. Each of SCENES scenes is
    used several times with other visible sensors, since generating questions takes a tenth of a step.
    """
    pad, first_blocks = prompt.tokenizer.pad_token_id, range(1, llm.config.num_hidden_layers - 1)

    @cache
    def scene(number: int) -> TextScene:
        rng = np.random.default_rng([seed, number])
        truth = draw_truth(truths, rig, batch[2], rng)
        return write_scene(truth, rig, prompt, ask(truth, rig, rng, batch[1], shares=QUESTION_SHARES), rng)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        drawn = (scene(int(number)) for number in iter(partial(rng.integers, SCENES), None))
        scenes = list(itertools.islice((one for one in drawn if one.questions and one.statements), batch[0]))
        first_block = first_blocks[0] if rng.random() < FULL_DEPTH else int(rng.choice(first_blocks))
        visible = draw_visible(rng, sum(len(one.questions) for one in scenes))
        return text_loss(llm, scenes, visible, first_block, pad)

    fit(name, llm, loss, schedule, folder, seed)


def save_llm(llm: LlamaForCausalLM, prompt: Prompt, out: Path) -> None:
    """Write the LLM, in 16 bits, and its tokenizer."""
    llm.half().save_pretrained(out)
    prompt.tokenizer.save_pretrained(out)
