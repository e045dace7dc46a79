# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One LoRA (arXiv 2106.09685) for all modalities on the last blocks of a frozen LLM, active where text attends to a modality.

A text position whose latents are all absent, and a block without latents, is the bare LLM's, bit for bit: the change is nowhere
merged into the weights.
"""

from __future__ import annotations

from operator import attrgetter

import torch
from torch import Tensor, nn

from ..datatypes import BadInput
from .attention_adapter import attending
from .decoder_blocks import decoder_blocks

INPUT_PROJECTIONS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
OUTPUT_PROJECTIONS = ("self_attn.o_proj", "mlp.down_proj")


class LowRank(nn.Module):
    """The change B A x of one projection W x, zero at the start."""

    def __init__(self, projection: nn.Linear, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(projection.in_features, rank, bias=False)
        self.up = nn.Linear(rank, projection.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden [..., in_features] -> change [..., out_features]."""
        return self.up(self.down(hidden))


class SharedLora(nn.Module):
    """LoRA of rank `rank` on the projections that enter attention and MLP, `output_rank` on those that leave them.

    It is on the last `linked_blocks` blocks of `llm`. `attach_to` makes an LLM use it. Raises BadInput where the LLM's
    projections have other names.
    """

    def __init__(self, llm: nn.Module, linked_blocks: int, rank: int, output_rank: int) -> None:
        super().__init__()
        self.shape = {"linked_blocks": linked_blocks, "rank": rank, "output_rank": output_rank}
        blocks = decoder_blocks(llm)
        self.first_block = len(blocks) - linked_blocks
        sizes = dict.fromkeys(INPUT_PROJECTIONS, rank) | dict.fromkeys(OUTPUT_PROJECTIONS, output_rank)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({path.replace(".", "_"): LowRank(_projection(block, path), size) for path, size in sizes.items()})
            for block in blocks[self.first_block :]
        )

    def attach_to(self, llm: nn.Module) -> None:
        """Let `llm` be changed by this LoRA wherever its text attends to a modality."""
        for index, (block, parts) in enumerate(zip(decoder_blocks(llm)[self.first_block :], self.blocks, strict=True)):
            for path in (*INPUT_PROJECTIONS, *OUTPUT_PROJECTIONS):
                change = _change(parts[path.replace(".", "_")], self.first_block + index)
                _projection(block, path).register_forward_hook(change)


def _change(low_rank: LowRank, block: int):
    """A forward hook that adds `low_rank` at the positions of block `block` that attend to a modality."""

    def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        rows = attending(block, output.shape[0])
        if rows is None:
            return None
        delta = low_rank(inputs[0].to(low_rank.down.weight.dtype)).to(output.dtype)
        return torch.where(rows, output + delta, output)

    return hook


def _projection(block: nn.Module, path: str) -> nn.Linear:
    try:
        return attrgetter(path)(block)
    except AttributeError:
        raise BadInput(f"{type(block).__name__} has no {path}, so that the model's LoRA cannot act on it") from None
