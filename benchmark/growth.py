# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the cost grows with cameras, points, questions, linked blocks and the size of the LLM, in one process without ROS.

CPU time of one torch thread on simulated sensors, the least of several passes: other programs only add to it. Every curve is
relative to its own first value. A machine without the base LLM of drive_smollm2 (`mmllm fetch`) leaves its bar out.

    python benchmark/growth.py --json benchmark/results/growth.json --plot docs/growth.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from results_file import write_results
from rich.console import Console
from rich.table import Table

from mmllm_ros.assistant import Asked, Assistant
from mmllm_ros.config import LlmConfig
from mmllm_ros.datatypes import LidarScan
from mmllm_ros.encoders import load_encoder
from mmllm_ros.model import Model
from mmllm_ros.resources import EMBEDDED, PRETRAINED, PRETRAINED_BASE, is_fetched, model_folder
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive

SEED = 500_000_000
POINTS = (4_000, 8_000, 16_000, 34_000, 68_000, 136_000)
RATES = (1, 2, 4, 8, 16)
FRAMES_PER_SECOND = 2
LLM = "language model, with its parameters"
READING = (
    "CPU time of one thread, drive_tiny, simulated rig\nof six cameras, a lidar and an IMU.\n"
    "Each curve is relative to its first value,\nthe bars to the first bar.\n"
    "New tokens arrive twice a second; a question\nabout them costs less when an earlier one\nhas used them (same frame)."
)
QUESTIONS = (
    "Are there any cars?", "Am I moving?", "Are there any trucks?", "How many pedestrians are there?", "Am I turning?",
    "Are there any buses?", "How many cars are there?", "Are there any bicycles?",
)  # fmt: skip


def cpu(run: Callable[[], object], prepare: Callable[[], object] | None = None, times: int = 9) -> float:
    """Least CPU time of `run` [ms], after one pass that does not count; `prepare` runs before each and does not count."""
    taken = []
    for _ in range(times + 1):
        if prepare:
            prepare()
        started = time.process_time()
        run()
        taken.append(1000 * (time.process_time() - started))
    return min(taken[1:])


class Robot:
    """The tokens of one simulated moment with six cameras, a lidar and an IMU, and its encoders."""

    def __init__(self) -> None:
        self.rig, self.folder = load_rig("nuscenes"), model_folder(EMBEDDED)
        drive = Drive(SEED, self.rig, "day")
        drive.advance(1.0)
        self.before = drive.capture()
        drive.advance(0.5)
        self.now = drive.capture()
        self.encoders = {name: load_encoder(self.folder / "encoders" / name, self.rig) for name in ("camera", "lidar", "imu")}
        self.views = list(zip(self.now.cameras, self.before.cameras, strict=True))
        self.tokens = {
            "camera": self.encoders["camera"].encode(self.views),
            "lidar": self.encoders["lidar"].encode([(self.now.lidar, self.before.lidar)]),
            "imu": self.encoders["imu"].encode([(self.now.imu, None)]),
        }

    def assistant(self, model: Model, linked_blocks: int = 0) -> Assistant:
        """An Assistant for which the tokens of this moment stay fresh."""
        return Assistant(model, LlmConfig(max_age=60.0, linked_blocks=linked_blocks), lambda: self.now.lidar.stamp)

    def put(self, assistant: Assistant, cameras: int = 6) -> None:
        """A new frame with the tokens of this moment: equal, but nothing cached for the last one is used."""
        for tokens in (*self.tokens["camera"][:cameras], *self.tokens["lidar"], *self.tokens["imu"]):
            assistant.put(replace(tokens))


def cameras(robot: Robot, model: Model) -> dict[str, dict[int, float]]:
    """Encoding, and an answer, by number of cameras [ms]."""
    numbers = range(1, len(robot.views) + 1)
    encode = robot.encoders["camera"].encode
    encoding = {number: cpu(lambda number=number: encode(robot.views[:number])) for number in numbers}
    answering = {}
    for number in numbers:
        assistant = robot.assistant(model)
        answering[number] = cpu(lambda: assistant.ask(QUESTIONS[0]), lambda number=number: robot.put(assistant, number))  # noqa: B023
    return {"encode the views": encoding, "answer about them": answering}


def points(robot: Robot) -> dict[str, dict[int, float]]:
    """Encoding by number of points [ms]: points of the simulated sweep, drawn with repetition and moved by 2 cm."""
    rng = np.random.default_rng(0)

    def scan(source: LidarScan, number: int) -> LidarScan:
        drawn = source.points[rng.integers(len(source.points), size=number)].copy()
        drawn[:, :3] += rng.normal(0.0, 0.02, (number, 3)).astype(np.float32)
        return replace(source, points=drawn)

    pairs = {number: (scan(robot.now.lidar, number), scan(robot.before.lidar, number)) for number in POINTS}
    encode = robot.encoders["lidar"].encode
    return {"encode a sweep": {number: cpu(lambda pair=pair: encode([pair])) for number, pair in pairs.items()}}


def questions(robot: Robot, model: Model) -> dict[str, dict[int, float]]:
    """CPU of the answers of a second [ms] by number of questions in it, with new tokens twice a second."""
    found: dict[str, dict[int, float]] = {"asked one by one": {}, "asked together": {}}
    for rate in RATES:
        for name, figures in found.items():
            assistant = robot.assistant(model)
            frames = min(rate, FRAMES_PER_SECOND)
            asked = [QUESTIONS[: rate // frames] for _ in range(frames)]

            def second(asked: Sequence[Sequence[str]] = asked, name: str = name, assistant: Assistant = assistant) -> None:
                for texts in asked:
                    robot.put(assistant)
                    if name == "asked one by one":
                        for text in texts:
                            assistant.ask(text)
                    else:
                        for outcome in assistant.ask_all([Asked(text) for text in texts]):
                            if isinstance(outcome, Exception):
                                raise outcome

            figures[rate] = cpu(second, times=5)
    for figures in found.values():
        figures[RATES[0]] = min(other[RATES[0]] for other in found.values())  # one question is the same in both
    return found


def linked_blocks(robot: Robot, model: Model) -> dict[str, dict[int, float]]:
    """An answer about a new frame by number of linked blocks [ms]."""
    figures = {}
    for number in range(1, model.linked_blocks + 1):
        assistant = robot.assistant(model, number)
        figures[number] = cpu(lambda: assistant.ask(QUESTIONS[0]), lambda: robot.put(assistant))  # noqa: B023
    return {"an answer, new frame": figures}


def llm_size(robot: Robot, models: Iterable[Model]) -> dict[str, dict[str, float]]:
    """An answer by LLM [ms]."""
    found: dict[str, dict[str, float]] = {"new frame": {}, "same frame": {}}
    for model in models:
        size = sum(parameter.numel() for parameter in model.llm.parameters())
        name, assistant = f"{model.name}\n{size / 1e6:.0f} million", robot.assistant(model)
        found["new frame"][name] = cpu(lambda: assistant.ask(QUESTIONS[0]), lambda: robot.put(assistant), 5)  # noqa: B023
        found["same frame"][name] = cpu(lambda: assistant.ask(QUESTIONS[0]), times=5)  # noqa: B023
    return found


def draw(report: dict[str, dict[str, dict]]) -> plt.Figure:
    """One panel for each quantity, and one that says how to read them."""
    figure, panels = plt.subplots(2, 3, figsize=(12.5, 7.0), layout="constrained")
    for axes, (quantity, curves) in zip(panels.flat, report.items(), strict=False):
        bars = quantity == LLM
        for index, (name, figures) in enumerate(curves.items()):
            first = next(iter((next(iter(curves.values())) if bars else figures).values()))
            label = f"{name} (1 = {first:.0f} ms)" if not bars or index == 0 else name
            relative = [value / first for value in figures.values()]
            if bars:
                drawn = axes.bar(np.arange(len(figures)) + 0.4 * (index - 0.5), relative, 0.4, label=label)
                axes.bar_label(drawn, fmt="%.2g")
                axes.set_xticks(np.arange(len(figures)), list(figures))
            else:
                axes.plot(list(figures), relative, marker="o", label=label)
                if max(figures) > 10:  # values that double
                    axes.set_xscale("log", base=2)
                axes.set_xticks(list(figures), [f"{value // 1000}k" if value >= 1000 else str(value) for value in figures])
        axes.set_xlabel(quantity)
        axes.set_ylim(0.0, 1.3 * max(value for value in axes.dataLim.intervaly))
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper left")
    for axes in panels[:, 0]:
        axes.set_ylabel("CPU time, times the first value")
    panels[1, 2].axis("off")
    panels[1, 2].text(0.0, 0.95, READING, va="top", linespacing=1.6)
    return figure


def main() -> None:
    """Measure, print, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("benchmark/results/growth.json"))
    parser.add_argument("--plot", type=Path, help="write the curves into this PNG")
    options = parser.parse_args()
    torch.set_num_threads(LlmConfig().threads)  # as the nodes do
    robot, model = Robot(), Model.load(model_folder(EMBEDDED))
    models = [model, *([Model.load(model_folder(PRETRAINED))] if is_fetched(PRETRAINED_BASE) else [])]
    report = {
        "cameras": cameras(robot, model),
        "points of a sweep": points(robot),
        "questions per second": questions(robot, model),
        "linked blocks": linked_blocks(robot, model),
        LLM: llm_size(robot, models),
    }
    table = Table("by", "what", "CPU [ms]", "times the first")
    for quantity, curves in report.items():
        for name, figures in curves.items():
            first = next(iter(figures.values()))
            values = ", ".join(f"{str(key).splitlines()[0]}: {value:.1f}" for key, value in figures.items())
            table.add_row(quantity, name, values, ", ".join(f"{value / first:.2f}" for value in figures.values()))
    Console(width=150).print(table)
    write_results(options.json, report)
    if options.plot:
        draw(report).savefig(options.plot, dpi=110)


if __name__ == "__main__":
    main()
