# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Finds the blocks of a Hugging Face decoder and the projections by which a block turns hidden states into keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from torch import Tensor, nn

from ..datatypes import BadInput

PATHS = {
    "blocks": ("model.layers", "model.decoder.layers"),
    "attention": ("self_attn",),
    "input norm": ("input_layernorm", "self_attn_layer_norm"),
    "key projection": ("self_attn.k_proj",),
    "value projection": ("self_attn.v_proj",),
    "query projection": ("self_attn.q_proj",),
    "output projection": ("self_attn.o_proj", "self_attn.out_proj"),
}
"""Attribute paths by role, Llama-like families first, then OPT. A new family is a new path here, not a new class."""


def find(module: nn.Module, role: str) -> nn.Module:
    """The submodule of `module` with `role`. Raises BadInput where the family names it differently or fuses it."""
    for path in PATHS[role]:
        try:
            return attrgetter(path)(module)
        except AttributeError:
            continue
    raise BadInput(f"{type(module).__name__} has no {role} under {' or '.join(PATHS[role])}, so nothing can be linked to it")


def decoder_blocks(llm: nn.Module) -> nn.ModuleList:
    """The decoder blocks of `llm`, lowest first. Raises BadInput."""
    return find(llm, "blocks")


@dataclass(frozen=True)
class FrozenProjections:
    """Norm and projections from a hidden state to keys and values of one block, by reference: not copied, trained or saved."""

    norm: nn.Module | None
    key: nn.Module
    value: nn.Module
    key_norm: nn.Module | None
    head_width: int

    @classmethod
    def of(cls, block: nn.Module) -> FrozenProjections:
        """Discover the projections of `block`. Raises BadInput."""
        attention = find(block, "attention")
        # OPT-350m normalises after its attention; its projections read the hidden state as it is.
        norm = find(block, "input norm") if getattr(block, "do_layer_norm_before", True) else None
        return cls(
            norm,
            find(block, "key projection"),
            find(block, "value projection"),
            getattr(attention, "k_norm", None),
            attention.head_dim,
        )

    @property
    def heads(self) -> int:
        """H, the number of kv heads."""
        return self.key.out_features // self.head_width

    def __call__(self, hidden: Tensor, key_delta: Tensor, value_delta: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden [B, P, d_model] and additions [B, P, H*K] to what the projections give -> key, value [B, H, P, K]."""
        dtype = self.key.weight.dtype
        hidden = hidden.to(dtype)
        if self.norm is not None:
            hidden = self.norm(hidden)
        shape = (*hidden.shape[:-1], self.heads, self.head_width)
        key = (self.key(hidden) + key_delta.to(dtype)).view(shape)
        value = (self.value(hidden) + value_delta.to(dtype)).view(shape)
        if self.key_norm is not None:
            key = self.key_norm(key)
        return key.transpose(1, 2), value.transpose(1, 2)
