# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a rival costs: operations counted and by formula, bytes held for the backward pass, time of a step and of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from data import Asked, World
from rivals import CrossAttention, Insertion, Ours, Published, Rival
from torch import Tensor

from mmllm_ros.latent.decoder_blocks import decoder_blocks
from mmllm_ros.metrics.flops import counted
from mmllm_ros.training.loop import fast
from mmllm_ros.training.packing import packed_loss

REPEATS = 5


def loss_of(rival: Rival, world: World, asked: Asked) -> tuple[Tensor, float]:
    """Mean cross-entropy of the answers and the share of right ones."""
    sight = rival.see(world.tokens(asked.frames))
    parts = [packed_loss(rival.read(packed, sight), packed) for packed in asked.packed]
    count = len(asked.about)
    return torch.stack([value for value, _ in parts]).sum() / count, sum(right for _, right in parts) / count


def step_costs(rival: Rival, world: World, batches: Sequence[Asked]) -> dict[str, float]:
    """Mean over `batches` of one step: FLOPs counted and by formula, bytes for the backward pass, and its median time [s]."""
    trained = [parameter for parameter in rival.parameters() if parameter.requires_grad]
    weights = {parameter.untyped_storage().data_ptr() for parameter in (*trained, *rival.llm.parameters())}
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def step(batch: Asked) -> None:
        with fast(torch.device("cpu")):
            value, _ = loss_of(rival, world, batch)
        if trained:
            value.backward()
            rival.zero_grad(set_to_none=True)

    flops, seconds, kept = [], [], []
    for batch in batches:
        held.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            flops.append(counted(lambda batch=batch: step(batch)))
        kept.append(sum(held.values()))
        seconds.append(timed(lambda batch=batch: step(batch)))
    # A weight that trains has a gradient and two moments beside it.
    adam = sum(4 * parameter.nbytes for parameter in trained)
    return {
        "step_flops": float(np.mean(flops)),
        "step_flops_formula": float(np.mean([formula(rival, world, batch) for batch in batches])),
        "step_bytes": float(np.mean(kept)) + adam,
        "step_s": float(np.median(seconds)),
        "trained": sum(parameter.numel() for parameter in trained),
    }


@torch.inference_mode()
def answer_costs(rival: Rival, world: World, asked: Asked) -> dict[str, float]:
    """Median seconds from tokens to the first token of an answer, and for one more question about the same frame."""
    rival.eval()
    packed = asked.packed[0]
    tokens = world.tokens(asked.frames)
    first = [timed(lambda: rival.read(packed, rival.see(tokens))) for _ in range(REPEATS)]
    sight = rival.see(tokens)
    kept = rival.keep(sight)
    again = [timed(lambda: rival.read_again(packed, kept)) for _ in range(REPEATS)]
    rival.train()
    return {"first_token_s": float(np.median(first)), "answer_s": float(np.median(again))}


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def formula(rival: Rival, world: World, asked: Asked) -> float:
    """FLOPs of a step on paper.

    A product with a frozen weight costs 2 operations a weight and token forward and 2 backward where a gradient passes; one
    with a weight that trains 2 more. Every text is new, none is kept from the step before. A text token attends to the S tokens
    of its row (masked ones are computed) and to P latents.
    """
    passed = 2.0 if any(True for _ in rival.parameters()) else 1.0
    config, blocks = rival.llm.config, decoder_blocks(rival.llm)
    block = sum(p.numel() for p in blocks[0].parameters() if p.ndim == 2)
    width = config.num_attention_heads * config.head_dim
    tokens = sum(table.values.shape[1] for table in world.tables.values())
    rows = sum(packed.ids.shape[0] for packed in asked.packed)
    total = 0.0
    for packed in asked.packed:
        count, size = packed.ids.shape
        slots = packed.places.numel()
        text, plugged = size, 0
        lowest = rival.first
        if isinstance(rival, Insertion):
            text, lowest = size + tokens, 0
        elif isinstance(rival, (Ours, Published)):
            plugged = 1 * len(world.tables) if isinstance(rival, Ours) and rival.without == "tokens" else tokens
            lowest = 0 if rival.texts.first_block == 0 else rival.first
        for index in range(lowest, len(blocks)):
            # Below the linked blocks nothing depends on what trains, so no gradient passes.
            times = passed if index >= rival.first or isinstance(rival, Insertion) else 1.0
            attention = 4 * text * (text + plugged) * width * (1.0 if times == 1.0 else 3.0)
            total += count * (2 * block * text * times + attention)
        total += 2 * slots * config.vocab_size * config.hidden_size * passed
        if not isinstance(rival, Insertion):
            below = [len(text) for texts in packed.texts for text in texts]
            total += rival.texts.first_block * sum(2 * block * length + 4 * length**2 * width for length in below)
    return total + rows * _own_flops(rival, world, asked)


def _own_flops(rival: Rival, world: World, asked: Asked) -> float:
    """What the rival's own weights cost for one frame; cross-attention reads every text token too."""
    size = np.mean([packed.ids.shape[1] for packed in asked.packed])
    total = 0.0
    for name, table in world.tables.items():
        tokens = table.values.shape[1]
        for owner in (getattr(rival, part, None) for part in ("connectors", "project", "key", "value")):
            if owner is None:
                continue
            weights = sum(p.numel() for p in owner[name].parameters() if p.ndim == 2)
            total += 6 * weights * (1 if isinstance(rival, Ours) and rival.without == "tokens" else tokens)
            if isinstance(rival, Ours):
                frozen = rival.connectors[name].heads[0].projections
                each = frozen.key.weight.numel() + frozen.value.weight.numel()
                total += 4 * each * len(rival.connectors[name].heads) * (1 if rival.without == "tokens" else tokens)
    if isinstance(rival, CrossAttention):
        memory = sum(table.values.shape[1] for table in world.tables.values())
        hidden = rival.llm.config.hidden_size
        # Queries, output and feed-forward read the text, keys and values the tokens; scores and their mix both.
        of_text, of_memory = 2 * hidden * hidden + 8 * hidden * hidden, 2 * hidden * hidden
        total += len(rival.layers) * (6 * of_text * size + 6 * of_memory * memory + 12 * size * memory * hidden)
    return total
