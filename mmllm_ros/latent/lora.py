# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Low-rank changes of a frozen block that act only in rows that attend to one modality (LoRA, arXiv 2106.09685).

A connector may own one for each block that it links, on the query and output projections. On key and value it would change how
text attends to text, and latents do not pass through those. It is never merged into the LLM. A row that does not attend to the
modality, and a block without latents, gives the output of the bare LLM, bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention_adapter import active_loras
from .decoder_blocks import find

_HOOKED = "_mmllm_lora_block"


class Lora(nn.Module):
    """The change of one block by one modality: W x + B A x, with B zero at initialization."""

    def __init__(self, block: nn.Module, index: int, rank: int) -> None:
        super().__init__()
        self.query = _low_rank(find(block, "query projection"), rank)
        self.output = _low_rank(find(block, "output projection"), rank)
        register_hooks(block, index)


def _low_rank(projection: nn.Linear, rank: int) -> nn.Sequential:
    last = nn.Linear(rank, projection.out_features, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(nn.Linear(projection.in_features, rank, bias=False), last)


def register_hooks(block: nn.Module, index: int) -> None:
    """Make block `index` of a decoder apply the LoRAs that are plugged into it. Hooks are registered once for all connectors."""
    if getattr(block, _HOOKED, None) is not None:
        return
    setattr(block, _HOOKED, index)
    for part in ("query", "output"):

        def change(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, part: str = part) -> Tensor:
            for lora, attended in active_loras(index, output.shape[0]):
                delta = getattr(lora, part)(inputs[0].to(lora.query[0].weight.dtype))
                output = torch.where(attended, output + delta.to(output.dtype), output)
            return output

        find(block, f"{part} projection").register_forward_hook(change)
