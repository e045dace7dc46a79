# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CPU time of a training step and an answer at the shapes of the mPnP-LLM paper (OPT-1.3B, ViT-S/16, six views), random weights.

    OMP_NUM_THREADS=1 python benchmark/paper_shapes.py --blocks 4 --linked-blocks 3 --json out/paper_shapes.json

CPU seconds of this process, which depends less on other load of the machine than wall time. All 24 blocks take 6 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from transformers import OPTConfig, OPTForCausalLM, ViTConfig, ViTModel

from mmllm_ros.latent.attention_adapter import attach, plugged
from mmllm_ros.latent.connector import Connector
from mmllm_ros.training.lower_cache import LowerCache
from mmllm_ros.training.packing import pack, packed_loss

VIEWS, TOKENS_A_VIEW, QUESTION, ANSWER, NEW_TOKENS = 6, 4, 20, 3, 8
"""The paper's six views and four tokens each; a question of typical length, which the published code pads to 72."""


def cpu_seconds(function: Callable[[], object], repeats: int) -> float:
    """Median CPU time [s] over `repeats`, after one warm-up."""
    spent = []
    for _ in range(repeats + 1):
        started = time.process_time()
        function()
        spent.append(time.process_time() - started)
    return float(np.median(spent[1:]))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=4, help="of OPT-1.3B's 24")
    parser.add_argument("--linked-blocks", type=int, default=3)
    parser.add_argument("--batch", type=int, default=1, help="questions a step, each about a frame of its own")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("out/paper_shapes.json"))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    shape = {"hidden_size": 2048, "ffn_dim": 8192, "num_attention_heads": 32, "word_embed_proj_dim": 2048}
    llm = OPTForCausalLM(OPTConfig(vocab_size=50272, num_hidden_layers=arguments.blocks, **shape)).eval().requires_grad_(False)
    attach(llm)
    vision = ViTModel(ViTConfig(hidden_size=384, intermediate_size=1536, num_attention_heads=6)).eval().requires_grad_(False)
    connector = Connector("camera", 384, llm, arguments.linked_blocks, trunk=384, rank=64)
    optimizer = torch.optim.AdamW(connector.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(5, 50000, QUESTION).tolist(), rng.integers(5, 50000, ANSWER).tolist()) for _ in range(arguments.batch)]
    packed = pack(pairs, range(arguments.batch), 1, torch.device("cpu"), parts=1)[0]
    texts = LowerCache(llm, arguments.blocks - arguments.linked_blocks)
    views = torch.randn(arguments.batch, VIEWS, 3, 224, 224)
    places = torch.randn(arguments.batch, VIEWS * TOKENS_A_VIEW, 3)

    @torch.inference_mode()
    def encode(count: int) -> Tensor:
        states = vision(views[:count].flatten(0, 1), output_hidden_states=True).hidden_states[-TOKENS_A_VIEW:]
        return torch.stack([state[:, 0] for state in states], 1).reshape(count, -1, 384)

    kept = encode(arguments.batch).clone()

    def step(tokens: Tensor) -> None:
        latent_cache = connector(tokens, places)
        value, _ = packed_loss(texts.logits(packed, latent_cache), packed)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    @torch.inference_mode()
    def answer(tokens: Tensor) -> None:
        with plugged(connector(tokens, places[:1])):
            llm.generate(packed.ids[:1, :QUESTION], max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False)

    report = {
        "blocks": arguments.blocks,
        "linked_blocks": arguments.linked_blocks,
        "batch": arguments.batch,
        "step, tokens kept": cpu_seconds(lambda: step(kept), arguments.repeats),
        "step, views encoded": cpu_seconds(lambda: step(encode(arguments.batch).clone()), arguments.repeats),
        "answer, tokens kept": cpu_seconds(lambda: answer(kept[:1]), arguments.repeats),
        "answer, views encoded": cpu_seconds(lambda: answer(encode(1)), arguments.repeats),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    Console().print({name: round(value, 3) for name, value in report.items()})
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
