# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One tiny random decoder per supported family, built from its published configuration class."""

from __future__ import annotations

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 128}
ROTARY = {**SIZES, "intermediate_size": 64, "num_key_value_heads": 2, "initializer_range": 0.2}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

FAMILIES = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**ROTARY, **ENDS)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**ROTARY, **ENDS)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**ROTARY, **ENDS, head_dim=8)),
    "smollm3": lambda: SmolLM3ForCausalLM(SmolLM3Config(**ROTARY, **ENDS)),
    "opt": lambda: OPTForCausalLM(OPTConfig(**SIZES, **ENDS, ffn_dim=64, init_std=0.2, word_embed_proj_dim=32)),
    "opt, norm after attention": lambda: OPTForCausalLM(
        OPTConfig(**SIZES, **ENDS, ffn_dim=64, init_std=0.2, word_embed_proj_dim=16, do_layer_norm_before=False)
    ),
}


def tiny_decoder(family: str, seed: int = 0) -> PreTrainedModel:
    """A frozen decoder of `family`, without the attention adapter."""
    torch.manual_seed(seed)
    return FAMILIES[family]().eval().requires_grad_(False)
