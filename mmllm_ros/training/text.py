# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage three: a small LLM learns from text alone to answer questions about a described scene, and to guess well without one.

A description is a set of phrases, one per fact. Each phrase is read on its own; in the upper blocks a question attends to the
last token of every phrase, through the port. That is the door through which sensors will speak: later, frozen, the LLM
finds the latents of a connector where it used to find phrases. Where the door opens is drawn anew each step, so that the
finished LLM works with any number of linked blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ..latent.decoder import FrozenProjections, decoder_blocks
from ..latent.lower import lower_states, upper
from ..latent.port import Latent, attach
from ..latent.prompt import SLOT, Prompt
from ..rig import Rig
from ..simulator.description import describe
from ..simulator.questions import ask, vocabulary
from ..simulator.truth import SceneTruth
from .imagined import imagine_scene, rearrange
from .loop import Schedule, fit
from .tokenizer import word_tokenizer

BLIND = 0.2
"""Share of questions asked without a description."""
FULL_DEPTH = 0.6
"""Share of steps in which the door opens as low as it ever does."""


@dataclass(frozen=True, slots=True)
class TextScene:
    """A description as phrases, and questions as (prompt, answer with end token), all token ids."""

    phrases: list[list[int]]
    questions: list[tuple[list[int], list[int]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions in rows: `ids` [B, S] with the answer's tokens but the last, and what is to be predicted where.

    `places` [B, n] are the positions whose next token counts, `targets` [B, n] that token, -100 beyond a row's answer.
    """

    ids: Tensor
    places: Tensor
    targets: Tensor


def make_tokenizer(prompt_template: str) -> PreTrainedTokenizerFast:
    """The tokenizer of the question language, with the words of the prompt."""
    return word_tokenizer([*vocabulary(), prompt_template.replace(SLOT, " ")])


def write_scene(truth: SceneTruth, rig: Rig, prompt: Prompt, count: int, rng: np.random.Generator) -> TextScene:
    """One scene as text with at most `count` questions."""
    return TextScene(
        [prompt.tokenizer(phrase, add_special_tokens=False)["input_ids"] for phrase in describe(truth, rig, rng)],
        [(prompt.question_ids(q.question), prompt.answer_ids(q.answer)) for q in ask(truth, rig, rng, count)],
    )


def padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Rows of unequal length as one tensor, filled up on the right."""
    size = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (size - len(row))] for row in rows])


def lay_out(questions: Sequence[tuple[list[int], list[int]]], pad: int) -> Asked:
    """Prompts and answers, as teacher forcing reads them. Causal attention never sees the filling on the right."""
    ids = padded([[*prompt, *answer[:-1]] for prompt, answer in questions], pad)
    places = padded([range(len(prompt) - 1, len(prompt) - 1 + len(answer)) for prompt, answer in questions], 0)
    return Asked(ids, places, padded([answer for _, answer in questions], -100))


def answer_loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    """Cross-entropy per question from logits [B, n, vocabulary], and the share of questions whose every token was right."""
    value = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-100, reduction="sum")
    right = ((logits.argmax(-1) == targets) | (targets < 0)).all(-1)
    return value / len(targets), right.float().mean().item()


def phrase_bank(llm: LlamaForCausalLM, scenes: Sequence[TextScene], first_block: int, pad: int) -> dict[int, Latent]:
    """The phrases of each scene as latents of the blocks from `first_block` on: one row per scene, one position per phrase."""
    phrases = [phrase for scene in scenes for phrase in scene.phrases]
    ends = torch.tensor([len(phrase) - 1 for phrase in phrases])
    states = llm.model(padded(phrases, pad), output_hidden_states=True, use_cache=False).hidden_states
    count = max(len(scene.phrases) for scene in scenes)
    scene_of = torch.repeat_interleave(torch.arange(len(scenes)), torch.tensor([len(scene.phrases) for scene in scenes]))
    rank = torch.cat([torch.arange(len(scene.phrases)) for scene in scenes])
    gate = torch.full((len(scenes), count), -torch.inf)
    gate[scene_of, rank] = 0.0
    bank = {}
    for index, block in enumerate(decoder_blocks(llm)):
        if index < first_block:
            continue
        heard = states[index][torch.arange(len(phrases)), ends]
        table = heard.new_zeros(len(scenes), count, heard.shape[-1]).index_put((scene_of, rank), heard)
        nothing = table.new_zeros(())
        bank[index] = Latent(*FrozenProjections.of(block)(table, nothing, nothing), gate)
    return bank


def text_loss(
    llm: LlamaForCausalLM, scenes: Sequence[TextScene], rng: np.random.Generator, first_block: int, pad: int
) -> tuple[Tensor, float]:
    """Loss and accuracy of all questions of `scenes`, each seeing its scene's phrases from `first_block` on, or nothing."""
    asked = lay_out([question for scene in scenes for question in scene.questions], pad)
    scene_of = torch.repeat_interleave(torch.arange(len(scenes)), torch.tensor([len(scene.questions) for scene in scenes]))
    blind = torch.from_numpy(rng.random(len(scene_of)) < BLIND)[:, None]
    bank = {
        index: Latent(latent.key[scene_of], latent.value[scene_of], latent.log_gate[scene_of].masked_fill(blind, -torch.inf))
        for index, latent in phrase_bank(llm, scenes, first_block, pad).items()
    }
    hidden = lower_states(llm, asked.ids, first_block=first_block)
    return answer_loss(upper(llm, hidden, bank, first_block=first_block, positions=asked.places), asked.targets)


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
    attach(llm)
    return llm


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
        scenes = list(islice((scene for scene in written if scene.questions and scene.phrases), batch[0]))
        door = doors[0] if rng.random() < FULL_DEPTH else int(rng.choice(doors))
        value, right = text_loss(llm, scenes, rng, door, pad)
        return value, {"right": right}

    fit(name, llm, loss, schedule, folder, seed)


def save_llm(llm: LlamaForCausalLM, prompt: Prompt, out: Path) -> None:
    """Write the LLM, in 16 bits, and its tokenizer."""
    llm.half().save_pretrained(out)
    prompt.tokenizer.save_pretrained(out)
