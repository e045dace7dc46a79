# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage three: a small LLM learns from text alone to answer questions about a described scene, and to guess well without one.

A description is a set of phrases, one per fact and observer. Each phrase is read on its own; in the upper blocks a question
attends to the last token of every phrase, through the port. That is the door through which sensors will speak: later, frozen,
the LLM finds the latents of a connector where it used to find phrases. Which observers a question hears, and where the door
opens, is drawn anew, so that the finished LLM works with any modalities and any number of linked blocks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ..latent.decoder import FrozenProjections, decoder_blocks
from ..latent.lower import lower_states, upper
from ..latent.port import Latent, attach
from ..latent.prompt import SLOT, Prompt
from ..rig import Rig
from ..simulator.description import FARTHEST, OBSERVERS, describe
from ..simulator.questions import ask, vocabulary
from ..simulator.truth import SceneTruth
from .imagined import imagine_scene, rearrange
from .loop import Schedule, fit
from .packing import pack, packed_loss, padded
from .tokenizer import word_tokenizer

EVERYTHING = 0.55
"""Share of questions that hear every observer; the others draw a subset evenly, the empty one included."""
FULL_DEPTH = 0.6
"""Share of steps in which the door opens as low as it ever does."""
WAVELENGTHS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
"""Of the waves [m] that the embeddings of places start from, so that near numbers are near each other."""


@dataclass(frozen=True, slots=True)
class TextScene:
    """A description as phrases, each with its observer's number, and questions as (prompt, answer with end token), token ids."""

    phrases: list[list[int]]
    observers: list[int]
    questions: list[tuple[list[int], list[int]]]


def make_tokenizer(prompt_template: str) -> PreTrainedTokenizerFast:
    """The tokenizer of the question language, with the words of the prompt."""
    return word_tokenizer([*vocabulary(), prompt_template.replace(SLOT, " ")])


def write_scene(truth: SceneTruth, rig: Rig, prompt: Prompt, count: int, rng: np.random.Generator) -> TextScene:
    """One scene as text with at most `count` questions."""
    told = describe(truth, rig, rng, blur=rng.random())
    return TextScene(
        [prompt.tokenizer(phrase.text, add_special_tokens=False)["input_ids"] for phrase in told],
        [OBSERVERS.index(phrase.observer) for phrase in told],
        [(prompt.question_ids(q.question), prompt.answer_ids(q.answer)) for q in ask(truth, rig, rng, count)],
    )


def phrase_bank(
    llm: LlamaForCausalLM, scenes: Sequence[TextScene], first_block: int, pad: int
) -> tuple[dict[int, Latent], Tensor]:
    """The phrases of each scene as latents of the blocks from `first_block` on, and who tells them: int64 [scenes, phrases].

    One row per scene, one position per phrase.
    """
    phrases = [phrase for scene in scenes for phrase in scene.phrases]
    ends = torch.tensor([len(phrase) - 1 for phrase in phrases])
    states = llm.model(padded(phrases, pad), output_hidden_states=True, use_cache=False).hidden_states
    scene_of = torch.repeat_interleave(torch.arange(len(scenes)), torch.tensor([len(scene.phrases) for scene in scenes]))
    rank = torch.cat([torch.arange(len(scene.phrases)) for scene in scenes])
    observers = padded([scene.observers for scene in scenes], 0)
    gate = torch.full(observers.shape, -torch.inf)
    gate[scene_of, rank] = 0.0
    bank = {}
    for index, block in enumerate(decoder_blocks(llm)):
        if index < first_block:
            continue
        heard = states[index][torch.arange(len(phrases)), ends]
        table = heard.new_zeros(*observers.shape, heard.shape[-1]).index_put((scene_of, rank), heard)
        nothing = table.new_zeros(())
        bank[index] = Latent(*FrozenProjections.of(block)(table, nothing, nothing), gate)
    return bank, observers


def draw_heard(rng: np.random.Generator, questions: int) -> Tensor:
    """Which observers each question hears: bool [questions, observers]."""
    heard = rng.random((questions, len(OBSERVERS))) < 0.5
    return torch.from_numpy(heard | (rng.random(questions) < EVERYTHING)[:, None])


def text_loss(
    llm: LlamaForCausalLM, scenes: Sequence[TextScene], heard: Tensor, first_block: int, pad: int
) -> tuple[Tensor, float]:
    """Loss and accuracy of all questions of `scenes`, each hearing `heard` [questions, observers] from `first_block` on."""
    questions = [(index, question) for index, scene in enumerate(scenes) for question in scene.questions]
    bank, observers = phrase_bank(llm, scenes, first_block, pad)
    loss, right = torch.zeros(()), 0
    for packed in pack([question for _, question in questions], [index for index, _ in questions], pad, llm.device):
        silent = ~heard[packed.owner.clamp(min=0)].gather(
            2, observers[packed.frames][:, None].expand(-1, packed.ids.shape[1], -1)
        )
        told = {
            block: latent.of_rows(packed.frames, latent.log_gate[packed.frames][:, None].masked_fill(silent, -torch.inf))
            for block, latent in bank.items()
        }
        where = {"first_block": first_block, "position_ids": packed.positions}
        hidden = lower_states(llm, packed.ids, packed.visible, **where)
        value, count = packed_loss(upper(llm, hidden, told, packed.visible, positions=packed.places, **where), packed)
        loss, right = loss + value, right + count
    return loss / len(questions), right / len(questions)


def make_llm(tokenizer: PreTrainedTokenizerFast, shape: dict[str, int]) -> LlamaForCausalLM:
    """A Llama of the given shape for `tokenizer`."""
    llm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            tie_word_embeddings=True,
            max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
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
    """Start the words of places (13m, ahead12, left5) from waves of their number in random directions, a set for each axis."""
    table, vocabulary = llm.get_input_embeddings().weight, tokenizer.get_vocab()
    for axis in ({"{}m": 1}, {"ahead{}": 1, "behind{}": -1}, {"left{}": 1, "right{}": -1}):
        directions = torch.randn(2 * len(WAVELENGTHS), table.shape[1]) * table.std() / len(WAVELENGTHS) ** 0.5
        for word, sign in axis.items():
            for metres in range(FARTHEST + 1):
                phase = 2 * math.pi * sign * metres / torch.tensor(WAVELENGTHS)
                table[vocabulary[word.format(metres)]] = torch.cat([phase.sin(), phase.cos()]) @ directions


def drawn_truths(truths: Sequence[SceneTruth], rig: Rig, most: int, rng: np.random.Generator) -> Iterator[SceneTruth]:
    """Endless scenes: half imagined with at most `most` objects, half rendered ones, of which every second is rearranged."""
    while True:
        if not truths or rng.random() < 0.5:
            yield imagine_scene(rng, rig, most)
        else:
            truth = truths[rng.integers(len(truths))]
            yield rearrange(truth, rng) if rng.random() < 0.5 else truth


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

    Scenes are imagined ones of at most `batch[2]` objects, where there are `truths` only half of them.
    """
    pad, doors = prompt.tokenizer.pad_token_id, range(1, llm.config.num_hidden_layers - 1)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        drawn = drawn_truths(truths, rig, batch[2], rng)
        written = (write_scene(truth, rig, prompt, batch[1], rng) for truth in drawn)
        scenes = list(itertools.islice((scene for scene in written if scene.questions and scene.phrases), batch[0]))
        door = doors[0] if rng.random() < FULL_DEPTH else int(rng.choice(doors))
        heard = draw_heard(rng, sum(len(scene.questions) for scene in scenes))
        value, right = text_loss(llm, scenes, heard, door, pad)
        return value, {"right": right}

    fit(name, llm, loss, schedule, folder, seed)


def save_llm(llm: LlamaForCausalLM, prompt: Prompt, out: Path) -> None:
    """Write the LLM, in 16 bits, and its tokenizer."""
    llm.half().save_pretrained(out)
    prompt.tokenizer.save_pretrained(out)
