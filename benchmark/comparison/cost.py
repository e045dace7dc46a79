# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Costs of a fusion method: FLOPs counted and by formula, bytes held for the backward pass, time of a step and of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from data import ComparisonData, QuestionBatch
from methods import AttributesAsText, CrossAttention, FusionMethod, Insertion, Ours, Published, WithLora
from torch import Tensor

from mmllm_ros.latent.decoder_blocks import decoder_blocks
from mmllm_ros.metrics.flops import count_flops
from mmllm_ros.training.loop import fast
from mmllm_ros.training.packing import packed_loss

REPEATS = 5


def loss_of(method: FusionMethod, data: ComparisonData, asked: QuestionBatch) -> tuple[Tensor, float]:
    """Mean cross-entropy of the answers and the share of right ones."""
    features = method.encode(data.tokens(asked.frames))
    parts = [packed_loss(method.logits(packed, features), packed) for packed in asked.packed]
    count = len(asked.about)
    return torch.stack([value for value, _ in parts]).sum() / count, sum(right for _, right in parts) / count


def step_costs(method: FusionMethod, data: ComparisonData, batches: Sequence[QuestionBatch]) -> dict[str, float]:
    """Mean over `batches` of one step: FLOPs counted and by formula, bytes for the backward pass; median time and CPU time [s].

    Every text is new, so that lower blocks are computed in each.
    """
    trained = [parameter for parameter in method.parameters() if parameter.requires_grad]
    weights = {parameter.untyped_storage().data_ptr() for parameter in (*trained, *method.llm.parameters())}
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def step(batch: QuestionBatch) -> None:
        with fast(torch.device("cpu")):
            value, _ = loss_of(method, data, batch)
        if trained:
            value.backward()
            method.zero_grad(set_to_none=True)

    flops, seconds, cpu, kept = [], [], [], []
    for batch in batches:
        held.clear()
        method.texts.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            flops.append(count_flops(lambda batch=batch: step(batch)))
        kept.append(sum(held.values()))
        method.texts.clear()
        began = time.process_time()
        seconds.append(timed(lambda batch=batch: step(batch)))
        cpu.append(time.process_time() - began)
    # A trained weight has a gradient and two moments of Adam.
    adam = sum(4 * parameter.nbytes for parameter in trained)
    return {
        "step_flops": float(np.mean(flops)),
        "step_flops_formula": float(np.mean([formula(method, data, batch) for batch in batches])),
        "step_bytes": float(np.mean(kept)) + adam,
        "step_s": float(np.median(seconds)),
        "step_cpu_s": float(np.median(cpu)),
        "trained": sum(parameter.numel() for parameter in trained),
    }


@torch.inference_mode()
def answer_costs(method: FusionMethod, data: ComparisonData, asked: QuestionBatch) -> dict[str, float]:
    """Median seconds from tokens to the first token of an answer, and for one more question about the same frame."""
    method.eval()
    packed = asked.packed[0]
    tokens = data.tokens(asked.frames)
    with fast(torch.device("cpu")):
        first = [timed(lambda: method.logits(packed, method.encode(tokens))) for _ in range(REPEATS)]
        features = method.encode(tokens)
        cached = method.cache(features)
        again = [timed(lambda: method.logits_from_cache(packed, cached)) for _ in range(REPEATS)]
    method.train()
    return {"first_token_s": float(np.median(first)), "answer_s": float(np.median(again))}


def timed(function: Callable[[], object]) -> float:
    """Duration of `function` [s]."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def formula(method: FusionMethod, data: ComparisonData, asked: QuestionBatch) -> float:
    """FLOPs of a step by formula.

    A product with a frozen weight costs 2 operations a weight and token forward and 2 backward where a gradient passes; one
    with a weight that trains 2 more. Every text is new, nothing is cached from the previous step. A text token attends to the S
    tokens of its row (masked ones are computed) and to P latents.
    """
    passed = 2.0 if any(True for _ in method.parameters()) else 1.0
    whole = method
    if isinstance(whole, WithLora):
        method = whole.method
    config, blocks = method.llm.config, decoder_blocks(method.llm)
    block = sum(p.numel() for p in blocks[0].parameters() if p.ndim == 2)
    width = config.num_attention_heads * config.head_dim
    tokens = sum(table.values.shape[1] for table in data.tables.values())
    rows = sum(packed.ids.shape[0] for packed in asked.packed)
    before = method.encode(data.tokens(asked.frames)).shape[1] if isinstance(method, AttributesAsText) else 0
    total = 0.0
    for packed in asked.packed:
        count, size = packed.ids.shape
        slots = packed.places.numel()
        text, plugged = size, 0
        lowest = method.first
        if isinstance(method, Insertion):
            text, lowest = size + tokens, 0
        elif isinstance(method, AttributesAsText):
            text, lowest = size + before, 0
        elif isinstance(method, (Ours, Published)):
            plugged = 1 * len(data.tables) if isinstance(method, Ours) and method.without == "tokens" else tokens
            lowest = 0 if method.texts.first_block == 0 else method.first
        for index in range(lowest, len(blocks)):
            # Below the linked blocks nothing depends on trained weights, so no gradient passes.
            times = passed if index >= method.first or isinstance(method, Insertion) else 1.0
            attention = 4 * text * (text + plugged) * width * (1.0 if times == 1.0 else 3.0)
            total += count * (2 * block * text * times + attention)
        total += 2 * slots * config.vocab_size * config.hidden_size * passed
        if isinstance(whole, WithLora):
            # Of the LoRA's products the backward pass has two, one for its weights and one for its input.
            weights = sum(p.numel() for p in whole.lora.parameters())
            total += count * 6 * weights * text
        if not isinstance(method, (Insertion, AttributesAsText)):
            below = [len(text) for texts in packed.texts for text in texts]
            total += method.texts.first_block * sum(2 * block * length + 4 * length**2 * width for length in below)
    return total + rows * _own_flops(method, data, asked)


def _own_flops(method: FusionMethod, data: ComparisonData, asked: QuestionBatch) -> float:
    """FLOPs of the method's own weights for one frame; cross-attention also processes every text token."""
    size = np.mean([packed.ids.shape[1] for packed in asked.packed])
    total = 0.0
    for name, table in data.tables.items():
        tokens = table.values.shape[1]
        for owner in (getattr(method, part, None) for part in ("connectors", "project", "key", "value")):
            if owner is None:
                continue
            weights = sum(p.numel() for p in owner[name].parameters() if p.ndim == 2)
            total += 6 * weights * (1 if isinstance(method, Ours) and method.without == "tokens" else tokens)
            if isinstance(method, Ours):
                frozen = method.connectors[name].heads[0].projections
                each = frozen.key.weight.numel() + frozen.value.weight.numel()
                total += 4 * each * len(method.connectors[name].heads) * (1 if method.without == "tokens" else tokens)
    if isinstance(method, CrossAttention):
        memory = sum(table.values.shape[1] for table in data.tables.values())
        hidden = method.llm.config.hidden_size
        # Queries, output and feed-forward process the text, keys and values the tokens; scores and weighted sums both.
        of_text, of_memory = 2 * hidden * hidden + 8 * hidden * hidden, 2 * hidden * hidden
        total += len(method.layers) * (6 * of_text * size + 6 * of_memory * memory + 12 * size * memory * hidden)
    return total
