# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Attributes as text in the prompt against tokens through connectors: accuracy and seconds per answer, same LLM and questions.

    python benchmark/comparison/text_in_prompt.py --scenes 20 --json out/text_in_prompt.json

Both rows read the same predicted attributes of camera and lidar (encoders/proposals.py). One writes them into the prompt of the
base LLM, zero-shot: "lidar: moving car, 12 m, 30 degrees left". The answer is the likeliest of those of the question's type. The
other is the shipped model with its connectors. Questions about ego motion, which need the IMU, are left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from attribute_text import SENSORS, described
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmllm_ros.datasets.simulated import simulated_examples
from mmllm_ros.datatypes import Question
from mmllm_ros.encoders import load_encoder
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.metrics.statistics import interval
from mmllm_ros.model import Model, Scored
from mmllm_ros.resources import PRETRAINED_BASE, base_folder, shared_folder
from mmllm_ros.rig import load_rig
from mmllm_ros.training.pretrained_model import PROMPT

PRIOR_SCENES = 60
"""Training scenes whose questions say which answers a type of question has."""
TEMPLATE = PROMPT.replace("{question}", "The sensors of your robot report:\n{scene}\nAnswer in a few words. {question}")


def likeliest(scored: Scored, allowed: Sequence[str]) -> str:
    """The likeliest of `allowed`."""
    return max(allowed, key=lambda answer: scored.distribution[answer])


def main() -> None:
    """Ask, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rig, folder = load_rig("front"), shared_folder() / "models" / "drive_smollm2"
    shipped, base = Model.load(folder, "cpu"), Model.load(base_folder(PRETRAINED_BASE), "cpu")
    encoders = {name: load_encoder(folder / "encoders" / name, rig, "cpu") for name in SENSORS}
    examples = simulated_examples(encoders, rig, "test", arguments.scenes, arguments.seed, language="everyday")
    asked: list[tuple[int, Question]] = []
    allowed: dict[str, set[str]] = defaultdict(set)
    for example in simulated_examples({}, rig, "train", PRIOR_SCENES, 0, language="everyday"):
        for question in example.questions:
            allowed[question.template_type].add(question.answer)
    for number, example in enumerate(examples):
        for question in example.questions:
            if question.answer in shipped.answers and any(set(need) <= set(SENSORS) and need for need in question.needs):
                asked.append((number, question))
    rows: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for number, question in track(asked, "ask"):
        tokens, choices = examples[number].tokens, sorted(allowed[question.template_type])
        lines = [line for one in tokens for line in described(one.modality, one.values, one.places)] or ["no objects"]
        for name, scene in (("attributes as text, zero-shot", lines), ("no sensors, zero-shot", ["nothing"])):
            prompt = TEMPLATE.replace("{scene}", "\n".join(scene))
            manifest = Manifest(
                name=name, llm_revision=base.llm_revision, answers=shipped.answers, prompt=prompt, answer_prefix=""
            )
            rows[name].append(_timed(Model(base.llm, base.tokenizer, manifest), question, {}, choices))
        latent_cache = shipped.latents(tokens)
        rows["tokens through connectors"].append(_timed(shipped, question, latent_cache, choices))
    scenes = [examples[number].scene for number, _ in asked]
    report = {"questions": len(asked), "scenes": len(examples), "model": shipped.revision}
    view = Table("", "right, %", "95 %", "s per answer, p50", title=f"{len(asked)} questions, {len(examples)} simulated scenes")
    for name, answers in rows.items():
        right = [float(answer == question.answer) for (answer, _), (_, question) in zip(answers, asked, strict=True)]
        low, high = interval(scenes, right)
        seconds = float(np.median([second for _, second in answers]))
        report[name] = {"right": float(np.mean(right)), "low": low, "high": high, "seconds": seconds}
        view.add_row(name, f"{100 * np.mean(right):.1f}", f"{100 * low:.1f} to {100 * high:.1f}", f"{seconds:.2f}")
    Console().print(view)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def _timed(model: Model, question: Question, latent_cache: dict, choices: Sequence[str]) -> tuple[str, float]:
    started = time.perf_counter()
    answer = likeliest(model.score(question.question, latent_cache), choices)
    return answer, time.perf_counter() - started


if __name__ == "__main__":
    main()
