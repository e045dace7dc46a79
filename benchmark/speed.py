# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Latency of answers and descriptions, throughput of the encoders, and CPU time of the health signals, with the shipped model.

    python benchmark/speed.py --json out/speed.json

Compared figures are ratios within this run: a second question on the same frame against the first, five standing questions
together against one by one, six views in one batch against one after the other, six cameras against one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mmllm_ros.assistant import Asked, Assistant
from mmllm_ros.config import LlmConfig
from mmllm_ros.context.health_signals import camera_signals, imu_signals, lidar_signals
from mmllm_ros.datasets.simulated import Example, simulated_examples
from mmllm_ros.encoders import load_encoder
from mmllm_ros.model import Model
from mmllm_ros.resources import default_model
from mmllm_ros.rig import Rig, load_rig
from mmllm_ros.simulator.drive import Drive

REPEATS = 40
DESCRIBED = 6
STANDING = ("Are there any cars?", "Am I moving?", "Are there any trucks?", "How many pedestrians are there?", "Am I turning?")


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    return {"p50_ms": 1e3 * float(np.quantile(seconds, 0.5)), "p95_ms": 1e3 * float(np.quantile(seconds, 0.95))}


def timed(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Duration of `function` by `clock` [s]."""
    started = clock()
    function()
    return clock() - started


def answers(folder: Path, rig: Rig) -> dict:
    """Latency of the first and of a further question on each of many frames, tokens present."""
    encoders = {name: load_encoder(folder / "encoders" / name, rig) for name in ("camera", "lidar", "imu")}
    moments = [moment for moment in simulated_examples(encoders, rig, "val", REPEATS, 0, each=2) if len(moment.questions) == 2]
    now = moments[0].tokens[0].stamp
    assistant = Assistant(Model.load(folder), LlmConfig(max_age=60.0), lambda: now)
    first, second = [], []
    for moment in moments:
        for tokens in moment.tokens:
            assistant.put(tokens)
        for question, seconds in zip(moment.questions, (first, second), strict=True):
            seconds.append(timed(lambda text=question.question: assistant.ask(text)))
    ratio = float(np.median(second) / np.median(first))
    return {"first": percentiles(first[1:]), "same frame": percentiles(second[1:]), "same frame / first": ratio}


def standing(folder: Path, rig: Rig) -> dict:
    """CPU time of five standing questions: together on a new frame as the node asks them, one by one, each on its own frame."""
    encoders = {name: load_encoder(folder / "encoders" / name, rig) for name in ("camera", "lidar", "imu")}
    moments = simulated_examples(encoders, rig, "val", REPEATS, 0, each=1)
    now = moments[0].tokens[0].stamp
    assistant = Assistant(Model.load(folder), LlmConfig(max_age=60.0), lambda: now)

    def on_new_frame(moment: Example, ask: Callable[[], object]) -> float:
        for tokens in moment.tokens:
            assistant.put(replace(tokens))  # another object: a new frame
        return timed(ask, time.process_time)

    def together() -> None:
        list(assistant.ask_all([Asked(question) for question in STANDING]))

    together()  # caches the texts
    rounds = [on_new_frame(moment, together) for moment in moments]
    one_by_one = [on_new_frame(moment, lambda: [assistant.ask(question) for question in STANDING]) for moment in moments]
    apart = [sum(on_new_frame(moment, lambda q=question: assistant.ask(q)) for question in STANDING) for moment in moments]
    return {
        "together": percentiles(rounds),
        "one by one": percentiles(one_by_one),
        "each on its own frame": percentiles(apart),
        "together / one by one": float(np.sum(rounds) / np.sum(one_by_one)),
        "together / each on its own frame": float(np.sum(rounds) / np.sum(apart)),
    }


def descriptions(folder: Path, rig: Rig) -> dict:
    """CPU time of "Describe what is around me" in DESCRIBED scenes: until its first sentence, and until all of them."""
    encoders = {name: load_encoder(folder / "encoders" / name, rig) for name in ("camera", "lidar", "imu")}
    moments = simulated_examples(encoders, rig, "val", DESCRIBED, 0, each=1)
    now = moments[0].tokens[0].stamp
    model, first, whole, words = Model.load(folder), [], [], []
    for moment in moments:
        model.clear_text_cache()
        assistant, heard = Assistant(model, LlmConfig(max_age=60.0), lambda: now), []
        for tokens in moment.tokens:
            assistant.put(tokens)
        started = time.process_time()
        answer = assistant.ask("Describe what is around me.", on_text=lambda _, at=heard: at.append(time.process_time()))
        whole.append(time.process_time() - started)
        first.append(heard[0] - started)
        words.append(len(answer.answer.split()))
    return {"first sentence": percentiles(first), "all": percentiles(whole), "words/s": sum(words) / sum(whole)}


def encoders(folder: Path, rig: Rig) -> dict:
    """Time of one pass over all sensors of a modality, and tokens made a second."""
    drive = Drive(500_000_000, rig, "day")
    before = drive.capture()
    drive.advance(0.5)
    snapshot = drive.capture()
    pairs = {
        "camera": list(zip(snapshot.cameras, before.cameras, strict=True)),
        "lidar": [(snapshot.lidar, before.lidar)],
        "imu": [(snapshot.imu, None)],
    }
    figures = {}
    for modality, frames in pairs.items():
        encoder = load_encoder(folder / "encoders" / modality, rig)
        made = sum(len(tokens.values) for tokens in encoder.encode(frames))
        seconds = [timed(lambda encoder=encoder, frames=frames: encoder.encode(frames)) for _ in range(REPEATS)]
        one_by_one = [timed(lambda e=encoder, f=frames: [e.encode([pair]) for pair in f]) for _ in range(REPEATS)]
        figures[modality] = {
            **percentiles(seconds),
            "frames": len(frames),
            "tokens/s": made / float(np.median(seconds)),
            "batched / one by one": float(np.median(seconds) / np.median(one_by_one)),
        }
    return figures


def signals() -> dict:
    """CPU time of the health signals of one large frame of each modality, with the frame before it."""
    drive = Drive(500_000_000, load_rig("front"), "day")
    rng, window = np.random.default_rng(0), drive.capture().imu
    image, points = rng.integers(0, 256, (900, 1600, 3), dtype=np.uint8), rng.normal(0.0, 20.0, (65536, 4)).astype(np.float32)
    functions = {
        "camera, 900 x 1600": lambda: camera_signals(image, image),
        "lidar, 65,536 points": lambda: lidar_signals(points, points),
        "imu": lambda: imu_signals(window),
    }
    return {name: percentiles([timed(call, time.thread_time) for _ in range(REPEATS)]) for name, call in functions.items()}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--json", type=Path, default=Path("out/speed.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(LlmConfig().threads)  # as the nodes do
    report = {"threads": torch.get_num_threads(), "signals": signals()}
    view = Table("rig", "what", "p50 [ms]", "p95 [ms]", "tokens/s", "ratio", title=f"{report['threads']} threads")
    for name in ("front", "nuscenes"):
        rig = load_rig(name)
        report[name] = {
            "answers": answers(arguments.model, rig),
            "standing questions": standing(arguments.model, rig),
            "descriptions": descriptions(arguments.model, rig),
            "encoders": encoders(arguments.model, rig),
        }
        latency = report[name]["answers"]
        view.add_row(name, "answer, new frame", f"{latency['first']['p50_ms']:.1f}", f"{latency['first']['p95_ms']:.1f}", "", "")
        again, ratio = latency["same frame"], f"{latency['same frame / first']:.2f} of the first"
        view.add_row(name, "answer, same frame", f"{again['p50_ms']:.1f}", f"{again['p95_ms']:.1f}", "", ratio)
        row = report[name]["standing questions"]
        again, ratios = row["together"], (row["together / one by one"], row["together / each on its own frame"])
        ratio = "{:.2f} of one by one, {:.2f} of each on a frame of its own".format(*ratios)
        view.add_row(name, "five standing questions, CPU", f"{again['p50_ms']:.1f}", f"{again['p95_ms']:.1f}", "", ratio)
        row = report[name]["descriptions"]
        for part in ("first sentence", "all"):
            figures = (f"{row[part]['p50_ms']:.0f}", f"{row[part]['p95_ms']:.0f}", "", f"{row['words/s']:.0f} words/s")
            view.add_row(name, f"description of a scene, {part}, CPU", *figures)
        for modality, row in report[name]["encoders"].items():
            ratio = f"{row['batched / one by one']:.2f} of one by one" if row["frames"] > 1 else ""
            figures = (f"{row['p50_ms']:.1f}", f"{row['p95_ms']:.1f}", f"{row['tokens/s']:.0f}", ratio)
            view.add_row(name, f"{modality} encoder, {row['frames']} frame(s)", *figures)
    for name, row in report["signals"].items():
        view.add_row("any", f"health signals, {name}", f"{row['p50_ms']:.1f}", f"{row['p95_ms']:.1f}", "", "")
    Console().print(view)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
