# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One process for all nodes against a process per node: memory, CPU, and the latency of each stage.

The simulator drives in real time with stamps of the system clock, and this script asks a question a second. Stages: from the
stamp of a frame to the arrival of its tokens here, the age of the readings that an answer rests on, the time the llm node takes
for an answer, and the time from the question to its answer here. Memory is the proportional set size, in which shared pages count
once; the CPU is that of all nodes, the simulator included.

    python benchmark/processes.py --seconds 60 --rig front --json out/processes.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import rclpy
from mmllm_ros.msg import SensorTokens
from rclpy.node import Node
from rich.console import Console
from rich.table import Table

from mmllm_ros.datatypes import NANOSECONDS, Answer
from mmllm_ros.launch_setup import node_names
from mmllm_ros.nodes.clients.ask_client import AskClient
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig

QUESTIONS = ("Are there any cars?", "Am I moving?", "How many pedestrians are there?", "Are there any trucks?")
START_TIMEOUT = 300.0


class Asker(Node):
    """Asks, and keeps the durations [s] of each stage."""

    def __init__(self) -> None:
        super().__init__("processes_benchmark")
        self.client = AskClient(self)
        self.durations: dict[str, list[float]] = defaultdict(list)
        self.create_subscription(SensorTokens, "mmllm/tokens", self._on_tokens, 10)

    def _on_tokens(self, message: SensorTokens) -> None:
        stamp = message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec
        self.durations[f"stamp to {message.modality} tokens"].append((time.time_ns() - stamp) / NANOSECONDS)

    def ask(self, question: str) -> Answer | None:
        """The answer; None where there is none."""
        if not self.client.wait_for_server(0.1):
            return None
        started = time.monotonic()
        future = self.client.ask(question)
        rclpy.spin_until_future_complete(self, future, timeout_sec=30.0)
        self.client.busy = False
        answer = future.result() if future.done() else None
        if not isinstance(answer, Answer):
            return None
        self.durations["question to answer"].append(time.monotonic() - started)
        self.durations["answer in the llm node"].append(answer.latency)
        self.durations["age of the evidence"].extend(item.age for item in answer.evidence)
        return answer


@contextlib.contextmanager
def robot(composed: bool, rig: str, model: str) -> Iterator[list[psutil.Process]]:
    """The processes of a robot in the simulator."""
    common = {"rig": rig, "model": model, "device": "cpu", "clock": "false"}
    drive = {**common, "source": "simulator", "duration": "0.0", "interval": "0.0"}
    commands = (
        {"drive": drive}
        if composed
        else {"simulator": {**common, "duration": "0.0"}, **dict.fromkeys(node_names(load_rig(rig)), common)}
    )
    started = []
    for name, settings in commands.items():
        words = [word for key, value in settings.items() for word in ("-p", f"{key}:={value}")]
        command = [sys.executable, "-m", f"mmllm_ros.nodes.{name}", "--ros-args", *words, "--log-level", "warn"]
        started.append(subprocess.Popen(command))
    try:
        yield [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def measure(composed: bool, rig: str, model: str, seconds: float) -> dict:
    """Figures of one arrangement."""
    node = Asker()
    try:
        with robot(composed, rig, model) as processes:
            deadline = time.monotonic() + START_TIMEOUT
            while not ((answer := node.ask(QUESTIONS[0])) and {"camera", "lidar"} <= {e.modality for e in answer.evidence}):
                rclpy.spin_once(node, timeout_sec=0.5)
                if time.monotonic() > deadline:
                    raise SystemExit("the robot does not answer from camera and lidar")
            node.durations.clear()
            before, started = _cpu(processes), time.monotonic()
            number = 0
            while time.monotonic() < started + seconds:
                node.ask(QUESTIONS[number % len(QUESTIONS)])
                number += 1
                while time.monotonic() < started + number:
                    rclpy.spin_once(node, timeout_sec=0.02)
            return {
                "processes": len(processes),
                "memory [MiB]": sum(process.memory_full_info().pss for process in processes) / 2**20,
                "cores": (_cpu(processes) - before) / (time.monotonic() - started),
                **{
                    f"{stage} [ms]": {f"p{p}": float(np.percentile(values, p)) * 1000 for p in (50, 95, 99)}
                    for stage, values in sorted(node.durations.items())
                },
            }
    finally:
        node.client.destroy()
        node.destroy_node()


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rig", default="front")
    parser.add_argument("--model", default=str(default_model()))
    parser.add_argument("--json", type=Path, default=Path("out/processes.json"))
    arguments = parser.parse_args()
    load = psutil.cpu_percent(3.0)
    # A domain of its own: other robots and measurements must not be heard.
    os.environ |= {"ROS_DOMAIN_ID": "91", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    rclpy.init(args=[])
    try:
        settings = (arguments.rig, arguments.model, arguments.seconds)
        report = {"one process": measure(True, *settings), "a process per node": measure(False, *settings)}
    finally:
        rclpy.try_shutdown()
    table = Table("", *report, title=f"rig {arguments.rig}, CPU of other programs before: {load:.0f} %")
    for row in dict.fromkeys(key for figures in report.values() for key in figures):
        table.add_row(row, *(_text(figures.get(row)) for figures in report.values()))
    Console(width=120).print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"cpu of other programs [%]": load, **report}, indent=1) + "\n")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:.0f}" for name, number in value.items())
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
