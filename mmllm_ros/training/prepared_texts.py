# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The texts of prepared questions as states of the frozen LLM (latent/text_states.py), computed before training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..latent.prompt import Prompt
from ..latent.text_states import encode_texts

AT_ONCE = 64
Text = tuple[int, int]
"""A question's number, and how many tokens of an answer follow it: 0 where the first token of the answer settles it."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Where an answer of the answer set is chosen: after `after` tokens of it, among `tokens`, of which `choice` is its own."""

    after: int
    tokens: tuple[int, ...]
    choice: int


def forks(sequences: Sequence[Sequence[int]]) -> list[list[Fork]]:
    """The forks of each of `sequences` (token ids with the end token) in the tree of all of them, in order."""
    children: dict[tuple[int, ...], dict[int, None]] = defaultdict(dict)
    for sequence in sequences:
        for place, token in enumerate(sequence):
            children[tuple(sequence[:place])][token] = None
    found = []
    for sequence in sequences:
        nodes = [(place, list(children[tuple(sequence[:place])])) for place in range(len(sequence))]
        found.append([Fork(place, tuple(n), n.index(sequence[place])) for place, n in nodes if len(n) > 1])
    return found


@dataclass(frozen=True, slots=True)
class KeptText:
    """One text: `hidden` float16 [c, d_model] of its c last positions, which attend to sensors; `keys` and `values` float16
    [N, H, s, K] of the s before them, in the N linked blocks."""

    hidden: Tensor
    keys: Tensor
    values: Tensor


def encode_shard(
    llm: nn.Module,
    prompt: Prompt,
    first_block: int,
    attend_last: int,
    texts: Mapping[int, str],
    wanted: Sequence[tuple[int, tuple[int, ...]]],
    path: Path,
) -> None:
    """Write the states of `wanted` (a question's number in `texts`, the tokens of an answer behind it) to `path`.

    The last `attend_last` positions of the prompt, and those of the answer, are the ones that attend to sensors.
    """
    rows: dict[tuple[int, int], list[tuple[int, tuple[int, ...], list[int]]]] = defaultdict(list)
    for number, answer in dict.fromkeys(wanted):
        ids = prompt.question_ids(texts[number])
        rows[len(ids), len(answer)].append((number, answer, [*ids, *answer]))
    state: dict[str, Tensor] = {}
    for (length, _), members in rows.items():
        for begin in range(0, len(members), AT_ONCE):
            part = members[begin : begin + AT_ONCE]
            encoded = encode_texts(llm, torch.tensor([ids for _, _, ids in part]), first_block, length - attend_last)
            for row, (number, answer, _) in enumerate(part):
                name = f"{number}-{'_'.join(map(str, answer))}"
                state[f"{name}.hidden"] = encoded.hidden[row].half().contiguous()
                state[f"{name}.keys"] = encoded.keys[row].half().contiguous()
                state[f"{name}.values"] = encoded.values[row].half().contiguous()
    partial = path.with_suffix(".part")
    save_file(state, partial)
    partial.rename(path)


def read_shard(path: Path) -> dict[str, KeptText]:
    """The texts of a file that `encode_shard` wrote, by "number-answer tokens"."""
    state = load_file(path)
    names = {name.rsplit(".", 1)[0] for name in state}
    return {name: KeptText(*(state[f"{name}.{part}"] for part in ("hidden", "keys", "values"))) for name in names}


def text_name(number: int, answer: Sequence[int]) -> str:
    """The name of a text in such a file."""
    return f"{number}-{'_'.join(map(str, answer))}"
