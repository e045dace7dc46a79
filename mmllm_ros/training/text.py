# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage three: a small LLM learns from text alone to answer questions about a described scene, and to guess well without one.

A description is a set of phrases, one per fact and observer. Each phrase is read on its own; in the upper blocks a question
attends to the last token of every phrase, through the port. That is the door through which sensors will speak: later, frozen,
the LLM finds the latents of a connector where it used to find phrases. Which observers a question hears, and where the door
opens, is drawn anew, so that the finished LLM works with any modalities and any number of linked blocks.

An answer alone teaches a chain of look-ups slowly, so some heads are shown where to look: one at what a question refers to ("to
the left of the bus"), a later one at what the answer is read from. What two observers tell of one thing shares one vote.
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
from .text_scenes import LESSONS, LOOKS, TextScene, forgotten, phrase_bank, phrase_gates, phrase_states, wanted_looks, write_scene
from .tokenizer import word_tokenizer

EVERYTHING = 0.55
"""Share of questions that hear every observer; the others draw a subset evenly, the empty one included."""
FULL_DEPTH = 0.6
"""Share of steps in which the door opens as low as it ever does."""
ROPE_THETA = 1e7
SCENES = 12_000
"""Of one stage; about so many are seen three times in a thousand steps."""
LOOKING = 0.3
"""Weight of where the shown heads look beside the answers."""
KEEPING = 1.0
"""Weight of what a phrase's summary forgets of its name: a word that selects nothing, as a colour, is learned late or never."""


def make_tokenizer(prompt_template: str) -> PreTrainedTokenizerFast:
    """The tokenizer of the question language, with the words of the prompt."""
    return word_tokenizer([*vocabulary(), prompt_template.replace(SLOT, " ")])


def draw_heard(rng: np.random.Generator, questions: int) -> Tensor:
    """Which observers each question hears: bool [questions, observers]."""
    heard = rng.random((questions, len(TEXT_SENSORS))) < 0.5
    return torch.as_tensor(heard | (rng.random(questions) < EVERYTHING)[:, None])


@dataclass(frozen=True, slots=True)
class Reading:
    """What the LLM makes of some packed questions: `logits` at their places, the phrases `told` to them by block, and with which
    queries each block `asked` for them."""

    packed: Packed
    told: dict[int, Latent]
    asked: dict[int, Tensor]
    logits: Tensor


def readings(
    llm: LlamaForCausalLM, scenes: Sequence[TextScene], states: Sequence[Tensor], heard: Tensor, first_block: int, pad: int
) -> Iterator[Reading]:
    """All questions of `scenes`, whose phrases are summed up in `states`, each hearing `heard` [questions, observers] from
    `first_block` on."""
    questions = [question for scene in scenes for question in scene.questions]
    scene_of = torch.repeat_interleave(torch.arange(len(scenes)), torch.tensor([len(scene.questions) for scene in scenes]))
    bank, gates = phrase_bank(llm, scenes, states, first_block), phrase_gates(scenes, heard)
    for packed in pack(questions, range(len(questions)), pad, llm.device):
        told = {block: latent.of_rows(scene_of[packed.frames], gates[packed.frames]) for block, latent in bank.items()}
        where = {"first_block": first_block, "position_ids": packed.positions}
        hidden = lower_states(llm, packed.ids, packed.visible, **where)
        with queries() as asked:
            logits = upper(llm, hidden, told, packed.visible, positions=packed.places, **where)
        yield Reading(packed, told, asked, logits)


def text_loss(
    llm: LlamaForCausalLM, scenes: Sequence[TextScene], heard: Tensor, first_block: int, pad: int
) -> tuple[Tensor, dict[str, float]]:
    """Loss of all questions of `scenes`, each hearing `heard` [questions, observers] from `first_block` on, and its parts."""
    names, wanted = [name for scene in scenes for name in scene.names], wanted_looks(scenes)
    states = phrase_states(llm, [phrase for scene in scenes for phrase in scene.phrases], pad)
    answers, looking, right = torch.zeros(()), torch.zeros(()), 0
    for one in readings(llm, scenes, states, heard, first_block, pad):
        value, count = packed_loss(one.logits, one.packed)
        answers, right = answers + value, right + count
        looking = looking + looking_loss(llm, one.asked, one.told, wanted[one.packed.frames], one.packed.places[:, 0])
    lost = sum(forgotten(llm, names, states[block], pad) for block in look_blocks(llm))
    parts = {"answers": answers.item() / len(heard), "right": right / len(heard)}
    parts |= {"looking": looking.item() / len(heard), "forgotten": lost.item()}
    return (answers + LOOKING * looking) / len(heard) + KEEPING * lost, parts


def look_blocks(llm: LlamaForCausalLM) -> tuple[int, int]:
    """In which block the shown heads look at what a question refers to, and in which at what it is answered from."""
    blocks = llm.config.num_hidden_layers
    return blocks - 4, blocks - 2


def looking_loss(
    llm: LlamaForCausalLM, asked: dict[int, Tensor], told: dict[int, Latent], wanted: Tensor, last: Tensor
) -> Tensor:
    """How little the shown heads look at what they should, summed over rows.

    One head a look, where the answer begins (`last` [R]), at the phrases that `wanted` [R, 2 * LOOKS, phrases] names, by votes.
    """
    group = llm.config.num_attention_heads // llm.config.num_key_value_heads
    total = torch.zeros(())
    for look in range(2 * LOOKS):
        block, head = look_blocks(llm)[look // LOOKS], look % LOOKS * group
        if block not in asked:
            continue
        gate = told[block].log_gate
        target = gate.exp() * wanted[:, look]
        rows = target.any(-1).nonzero()[:, 0]
        query, key = asked[block][rows, head, last[rows]], told[block].key[rows, head // group]
        score = (key @ query[..., None]).squeeze(-1) * query.shape[-1] ** -0.5 + gate[rows]
        share = target[rows] / target[rows].sum(-1, keepdim=True)
        total = total - (share * score.log_softmax(-1).masked_fill(share == 0, 0.0)).sum()
    return total


def make_llm(tokenizer: PreTrainedTokenizerFast, shape: dict[str, int]) -> LlamaForCausalLM:
    """A Llama of the given shape for `tokenizer`.

    Its rotary frequencies fall steeply: latent keys are not rotated, so most of a query must not turn with its position either.
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
            # The library's 0.02 suits widths in the thousands; attention of a narrow model would hardly tell tokens apart.
            initializer_range=shape["hidden_size"] ** -0.5,
            **shape,
        )
    )
    embed_places(llm, tokenizer)
    attach(llm)
    return llm


@torch.no_grad()
def embed_places(llm: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Start the words of places (13m, ahead12, along30x4) from waves of their number, each axis in directions of its own."""
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
    """A scene: half imagined with at most `most` objects, half rendered ones, of which every second is rearranged."""
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

    Scenes are imagined ones of at most `batch[2]` objects, where there are `truths` only half of them. There are SCENES of them:
    to write questions takes a tenth of a step, so they are asked again, heard by others.
    """
    pad, doors = prompt.tokenizer.pad_token_id, range(1, llm.config.num_hidden_layers - 1)

    @cache
    def scene(number: int) -> TextScene:
        rng = np.random.default_rng([seed, number])
        truth = draw_truth(truths, rig, batch[2], rng)
        return write_scene(truth, rig, prompt, ask(truth, rig, rng, batch[1], shares=LESSONS), rng)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        drawn = (scene(int(number)) for number in iter(partial(rng.integers, SCENES), None))
        scenes = list(itertools.islice((one for one in drawn if one.questions and one.phrases), batch[0]))
        door = doors[0] if rng.random() < FULL_DEPTH else int(rng.choice(doors))
        heard = draw_heard(rng, sum(len(one.questions) for one in scenes))
        return text_loss(llm, scenes, heard, door, pad)

    fit(name, llm, loss, schedule, folder, seed)


def save_llm(llm: LlamaForCausalLM, prompt: Prompt, out: Path) -> None:
    """Write the LLM, in 16 bits, and its tokenizer."""
    llm.half().save_pretrained(out)
    prompt.tokenizer.save_pretrained(out)
