# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Connectors and one LoRA into a frozen pretrained LLM, trained on prepared questions (prepared_questions.py, prepared_texts.py).

Only the last positions of a prompt attend to sensors, so a step computes the linked blocks at those few positions; all else of a
text was computed before. The loss is taken at the forks of the answer tree, and some heads are supervised where to attend.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..latent.attention_adapter import Latent, LatentCache, plugged, queries
from ..latent.connector import Connector, merge
from ..latent.shared_lora import SharedLora
from ..latent.text_states import TextKeys, run_blocks
from .connectors import TokenTable, on_device
from .loop import fast
from .muon import Muon
from .prepared_batches import Answers, Laid, Store, columns_of, lay_out
from .prepared_questions import LOOKS, Prepared, wanted_tokens

ATTENTION_WEIGHT = 1.0
"""Weight of the attention supervision beside the answers."""
SUPERVISED = (2, 5)
"""Which of the linked blocks, counted from the first, has heads that attend to what a question refers to, and which to what it is
answered from: blocks 24 and 27 of 30 where the last 8 are linked."""
TOKEN_NOISE, TEXT_NOISE = 0.25, 0.1
"""Noise on tokens and on the states of texts, in standard deviations: few scenes and wordings are learned by heart without it."""
WEIGHT_DECAY = 0.2
DECAY_FROM = 0.5
"""After this share of the time the learning rates fall linearly to zero."""
WARMUP = 30
AVERAGED = 0.99
"""Each step keeps this share of the averaged weights."""


class Trained(nn.Module):
    """What trains: the connectors by modality, and the LoRA."""

    def __init__(self, connectors: Mapping[str, Connector], lora: SharedLora) -> None:
        super().__init__()
        self.connectors, self.lora = nn.ModuleDict(connectors), lora


def noisy(values: Tensor, noise: float) -> Tensor:
    """Values [..., D] with Gaussian noise of `noise` times the standard deviation of each vector."""
    return values + noise * values.std(-1, keepdim=True) * torch.randn_like(values) if noise else values


def connect(
    trained: Trained,
    tables: Mapping[str, TokenTable],
    frames: Tensor,
    views: Sequence[int],
    attended: Mapping[str, Tensor],
    noise: float = 0.0,
) -> dict[int, Latent]:
    """The latents of `frames`, a row each, of the cameras `views`; row i attends to the modalities of `attended`."""
    latent_caches: dict[str, LatentCache] = {}
    for modality, table in tables.items():
        connector, table = trained.connectors[modality], table.at(frames)
        if modality == "camera":
            table = table.of(views)
        valid = attended[modality][:, None].expand(-1, len(table.sources))
        values, places = on_device(connector, table)
        latent_caches[modality] = connector(noisy(values, noise), places, valid=valid, sources=table.sources)
    return merge(latent_caches)


def answer_logits(llm: nn.Module, laid: Laid, latent_cache: LatentCache, answers: Answers, first_block: int) -> Tensor:
    """Logits [forks, tokens] over `answers.tokens`, with minus infinity where a fork does not lead."""
    # The states are kept in 16 bits and laid out as float32; the LLM may be bfloat16.
    keys = {block: (key.to(llm.dtype), value.to(llm.dtype)) for block, (key, value) in laid.keys.items()}
    with plugged(latent_cache):
        hidden = run_blocks(llm, laid.hidden.to(llm.dtype), first_block, laid.positions, laid.mask, TextKeys(keys))
    chosen = llm.model.norm(hidden[laid.forks[:, 1], laid.forks[:, 2]])
    logits = chosen.float() @ llm.lm_head.weight[answers.tokens].float().T
    return logits.masked_fill(~laid.allowed, -torch.inf)


def fork_loss(logits: Tensor, laid: Laid, count: int) -> tuple[Tensor, Tensor]:
    """Cross-entropy at the forks, per question of `count`, and which questions are right at all of theirs, bool [count]."""
    value = functional.cross_entropy(logits, laid.choice, reduction="sum") / count
    wrong = torch.zeros(count).index_add(0, laid.forks[:, 0], (logits.argmax(-1) != laid.choice).float())
    return value, wrong == 0


def attention_loss(
    llm: nn.Module, asked: Mapping[int, Tensor], latent_cache: LatentCache, wanted: Tensor, last: Tensor, blocks
) -> Tensor:
    """How far the supervised heads are from attending to `wanted` [Q, 2 * LOOKS, P] at the prompts' last tokens, summed."""
    group = llm.config.num_attention_heads // llm.config.num_key_value_heads
    total = torch.zeros(())
    for look in range(2 * LOOKS):
        block, head = blocks[look // LOOKS], look % LOOKS * group
        gate = latent_cache[block].log_gate[last[:, 0]]
        target = gate.detach().exp() * wanted[:, look]
        rows = target.any(-1).nonzero()[:, 0]
        if not len(rows):
            continue
        query = asked[block][last[rows, 0], head, last[rows, 1]]
        score = (latent_cache[block].key[last[rows, 0], head // group] @ query[..., None]).squeeze(-1) * query.shape[-1] ** -0.5
        score = score + gate[rows]
        share = target[rows] / target[rows].sum(-1, keepdim=True)
        total = total - (share * score.log_softmax(-1).masked_fill(share == 0, 0.0)).sum()
    return total


def step_loss(
    llm: nn.Module,
    trained: Trained,
    store: Store,
    answers: Answers,
    rows: Sequence[Sequence[Prepared]],
    attended: Mapping[str, Tensor],
    training: bool = True,
) -> tuple[Tensor, dict[str, float], Tensor]:
    """Loss of the questions `rows` (a row per frame, all of the same views), its parts, and which questions are right [Q]."""
    first_block, views = trained.lora.first_block, rows[0][0].views
    frames = torch.tensor([questions[0].frame for questions in rows])
    latent_cache = connect(trained, store.tables, frames, views, attended, TOKEN_NOISE if training else 0.0)
    laid = lay_out(rows, store.texts, answers, first_block)
    if training:
        laid.hidden = noisy(laid.hidden, TEXT_NOISE)
    flat = [question for questions in rows for question in questions]
    with queries() as asked:
        logits = answer_logits(llm, laid, latent_cache, answers, first_block)
    answered, right = fork_loss(logits, laid, len(flat))
    parts = {"answers": answered.item(), "right": float(right.float().mean())}
    loss = answered
    if training:
        tokens = sum(len(table.sources) for table in store.tables.values())
        wanted = wanted_tokens(flat, tokens)[:, :, columns_of(store.tables, views)]
        blocks = [first_block + block for block in SUPERVISED]
        attention = attention_loss(llm, asked, latent_cache, wanted, laid.last, blocks) / len(flat)
        parts["attention"] = attention.item()
        loss = loss + ATTENTION_WEIGHT * attention
    return loss, parts, right


def optimizers(trained: nn.Module, matrix_rate: float, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for matrices, AdamW for the rest; each group keeps its highest rate as "peak"."""
    values = [value for value in trained.parameters() if value.requires_grad]
    matrices, rest = [v for v in values if v.ndim >= 2], [v for v in values if v.ndim < 2]
    return [
        Muon([{"params": matrices, "peak": matrix_rate}], matrix_rate, WEIGHT_DECAY),
        torch.optim.AdamW([{"params": rest, "peak": rate}], lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_at(step: int, share: float, begun: float = 0.0) -> float:
    """Share of the learning rate at `step` when `share` of the time is over; a run that goes on from `begun` warms up again."""
    warm = min(1.0, (step + 1) / WARMUP)
    return warm * min(1.0, max(0.0, (1.0 - share) / (1.0 - DECAY_FROM)))


def train(
    trained: nn.Module,
    step_loss: Callable[[np.random.Generator], tuple[Tensor, dict[str, float]]],
    seconds: tuple[float, float],
    rates: tuple[float, float],
    seed: int,
    watch: Callable[[int, dict[str, float], dict[str, Tensor]], None],
) -> dict[str, Tensor]:
    """Train until the clock says `seconds[1]` (epoch seconds), as if begun at `seconds[0]`. Returns the averaged weights.

    `step_loss` gives the loss of a step and its parts. `watch` is called after each step with its number, its figures and the
    averaged weights.
    """
    trained.requires_grad_(True)
    stages = optimizers(trained, *rates)
    averaged = {name: value.detach().clone() for name, value in trained.named_parameters()}
    step = 0
    while (now := time.time()) < seconds[1]:
        share = (now - seconds[0]) / (seconds[1] - seconds[0])
        for group in (group for stage in stages for group in stage.param_groups):
            group["lr"] = group["peak"] * rate_at(step, share)
        trained.zero_grad(set_to_none=True)
        with fast(torch.device("cpu")):
            loss, parts = step_loss(np.random.default_rng([seed, step]))
            loss.backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        for stage in stages:
            stage.step()
        keep = min(AVERAGED, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in trained.named_parameters():
                averaged[name].lerp_(value, 1 - keep)
        step += 1
        parts |= {"rate": rate_at(step, share), "seconds": time.time() - now}
        watch(step, parts, averaged)
    trained.requires_grad_(False)
    return averaged
