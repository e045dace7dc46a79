# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One process for all nodes against a process per node: memory, CPU, and the latency of each stage.

The simulator drives in real time with stamps of the system clock, and this script asks a question a second. Stages: from the
stamp of a frame to the arrival of its tokens here, the age of the readings that an answer rests on, the time the llm node takes
for an answer, and the time from the question to its answer here. Memory is the proportional set size, in which shared pages count
once; the CPU is that of all nodes, the simulator included.

    python benchmark/processes.py --seconds 30 --rig front --json benchmark/results/processes.json
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil
import rclpy
from mmllm_ros.msg import SensorTokens
from node_processes import CpuMeter, own_domain, quantiles, robot_commands, running, with_children
from question_client import QuestionClient
from results_file import comparison_table, write_results
from rich.console import Console

from mmllm_ros.datatypes import NANOSECONDS, Answer
from mmllm_ros.resources import EMBEDDED

QUESTIONS = ("Are there any cars?", "Am I moving?", "How many pedestrians are there?", "Are there any trucks?")
START_TIMEOUT = 300.0


class Asker(QuestionClient):
    """Asks, and keeps the durations [s] of each stage."""

    def __init__(self) -> None:
        super().__init__("processes_benchmark")
        self.durations: dict[str, list[float]] = defaultdict(list)
        self.create_subscription(SensorTokens, "mmllm/tokens", self._on_tokens, 10)

    def _on_tokens(self, message: SensorTokens) -> None:
        stamp = message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec
        self.durations[f"stamp to {message.modality} tokens"].append((time.time_ns() - stamp) / NANOSECONDS)

    def measured(self, question: str) -> Answer | None:
        """The answer; None where there is none."""
        started = time.monotonic()
        if answer := self.ask(question, 30.0):
            self.durations["question to answer"].append(time.monotonic() - started)
            self.durations["answer in the llm node"].append(answer.latency)
            self.durations["age of the evidence"].extend(item.age for item in answer.evidence)
        return answer


def measure(composed: bool, options: argparse.Namespace) -> dict:
    """Figures of one arrangement."""
    node = Asker()
    try:
        with running(robot_commands(options.rig, options.model, composed)) as processes:
            deadline = time.monotonic() + START_TIMEOUT
            while not ((answer := node.measured(QUESTIONS[0])) and answer.evidence):
                rclpy.spin_once(node, timeout_sec=0.5)
                if ended := [name for name, process in processes.items() if process.poll() is not None]:
                    sys.exit(f"processes: {ended[0]} ended with status {processes[ended[0]].returncode}, see above")
                if time.monotonic() > deadline:
                    sys.exit("processes: no answer rests on a sensor: the messages above say why")
            node.durations.clear()
            meters = {name: CpuMeter(process) for name, process in processes.items()}
            started = time.monotonic()
            number = 0
            while time.monotonic() < started + options.seconds:
                node.measured(QUESTIONS[number % len(QUESTIONS)])
                number += 1
                while time.monotonic() < started + number:
                    rclpy.spin_once(node, timeout_sec=0.02)
            cores = {name: meter.cores for name, meter in meters.items()}
            members = [member for process in processes.values() for member in with_children(process)]
            return {
                "processes": len(members),
                "memory [MiB]": sum(member.memory_full_info().pss for member in members) / 2**20,
                "cores": sum(cores.values()),
                "cores by process": cores,
                **{f"{stage} [ms]": quantiles(values) for stage, values in sorted(node.durations.items())},
            }
    finally:
        node.destroy_node()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each of the two arrangements")
    parser.add_argument("--rig", default="front")
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--json", type=Path, default=Path("benchmark/results/processes.json"))
    options = parser.parse_args()
    load = psutil.cpu_percent(3.0)
    with own_domain():
        report = {name: measure(composed, options) for name, composed in (("one process", True), ("a process per node", False))}
    Console(width=120).print(comparison_table(report, f"rig {options.rig}, CPU of other programs before: {load:.0f} %"))
    write_results(options.json, {"cpu of other programs [%]": load, **report})


if __name__ == "__main__":
    main()
