# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Latency of answers while `mmllm/adapt` trains, relative to the same answers before the training.

    python benchmark/latency_while_training.py --json out/latency_while_training.json

The trainer runs as in the node: another process, low priority, half of the cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from mmllm_ros.adaptation.job import AdaptationJob
from mmllm_ros.adaptation.samples import LabelledSource
from mmllm_ros.adaptation.scenarios import FIRST_SCENE
from mmllm_ros.adaptation.state import AdaptationState
from mmllm_ros.assistant import Assistant
from mmllm_ros.config import LlmConfig
from mmllm_ros.datasets.examples import Example
from mmllm_ros.datasets.simulated import simulated_examples
from mmllm_ros.encoders import load_encoder
from mmllm_ros.model import Model
from mmllm_ros.nodes.answering.training_process import TrainingProcess
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig

PAUSE = 0.05
"""Pause between two questions [s]."""


def latencies(assistant: Assistant, asked: list[Example], count: int, over: threading.Event) -> list[float]:
    """Seconds of up to `count` answers, each about a new frame, until `over`."""
    seconds = []
    for index in range(count):
        if over.is_set():
            break
        moment = asked[index % len(asked)]
        for tokens in moment.tokens:
            # New objects, as from new messages, so that nothing cached for the last frame is used.
            assistant.put(dataclasses.replace(tokens))
        started = time.perf_counter()
        assistant.ask(moment.questions[0].question)
        seconds.append(time.perf_counter() - started)
        time.sleep(PAUSE)
    return seconds


def main() -> None:
    """Simulate, store samples, ask without and with a training, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rig", default="front")
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--answers", type=int, default=200, help="before the training")
    parser.add_argument("--beside", type=int, default=500, help="during it, fewer where it ends before")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rig = load_rig(arguments.rig)
    model = Model.load(arguments.model)
    encoders = {name: load_encoder(arguments.model / "encoders" / name, rig) for name in model.modalities}
    asked = [
        moment
        for moment in simulated_examples(encoders, rig, "train", arguments.samples // 2, FIRST_SCENE, each=2)
        if moment.questions
    ]
    now = asked[0].tokens[0].stamp
    config = LlmConfig(max_age=60.0)
    torch.set_num_threads(config.threads)
    assistant = Assistant(model, config, lambda: now)
    training, over = threading.Event(), threading.Event()
    outcome: list = []
    with tempfile.TemporaryDirectory() as folder:
        state = AdaptationState(folder, arguments.model)
        for sample in LabelledSource(asked).samples():
            state.replay_buffer.add(sample)
        alone = latencies(assistant, asked, arguments.answers, over)
        job = AdaptationJob(str(arguments.model), ["lidar"], state=folder, rig=arguments.rig)
        trainer = TrainingProcess(job, lambda _: training.set(), lambda end: (outcome.append(end), training.set(), over.set()))
        training.wait()
        beside = latencies(assistant, asked, arguments.beside, over)
        trainer.close()
    figures = {
        name: {"answers": len(seconds), **{f"p{p}_ms": 1e3 * float(np.percentile(seconds, p)) for p in (50, 95)}}
        for name, seconds in (("alone", alone), ("beside the training", beside))
    }
    report = {**figures, "p95 ratio": figures["beside the training"]["p95_ms"] / figures["alone"]["p95_ms"]}
    report["p50 ratio"] = figures["beside the training"]["p50_ms"] / figures["alone"]["p50_ms"]
    end = outcome[0] if outcome else "went on"
    report["training"] = end["message"] if isinstance(end, dict) else end
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
