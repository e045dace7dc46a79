# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Low-rank changes of a frozen block that act only where a sensor is heard (LoRA, arXiv 2106.09685).

A connector may own one for each block that it links: on the projections that ask (query) and that use what was heard (output);
on those of key and value it would change how text reads text, and latents pass them by (papers.md 1.2, row 8). It is nowhere
merged into the LLM. A row that hears nothing of the modality, and a block without latents, is the bare LLM's, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention_adapter import heard_by
from .decoder_blocks import find

_HOOKED = "_mmllm_lora_block"


class Lora(nn.Module):
    """The change of one block by one modality: W x + B A x, with B zero at the start."""

    def __init__(self, block: nn.Module, index: int, rank: int) -> None:
        super().__init__()
        self.query = _low_rank(find(block, "query projection"), rank)
        self.output = _low_rank(find(block, "output projection"), rank)
        listen(block, index)


def _low_rank(projection: nn.Linear, rank: int) -> nn.Sequential:
    last = nn.Linear(rank, projection.out_features, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(nn.Linear(projection.in_features, rank, bias=False), last)


def listen(block: nn.Module, index: int) -> None:
    """Let block `index` of a decoder be changed by what is plugged into it; once is enough for all connectors."""
    if getattr(block, _HOOKED, None) is not None:
        return
    setattr(block, _HOOKED, index)
    for part in ("query", "output"):

        def change(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, part: str = part) -> Tensor:
            for lora, heard in heard_by(index, output.shape[0]):
                delta = getattr(lora, part)(inputs[0].to(lora.query[0].weight.dtype))
                output = torch.where(heard, output + delta.to(output.dtype), output)
            return output

        find(block, f"{part} projection").register_forward_hook(change)
