# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kill -9 of a random node of a robot, again and again: how long until questions are answered again.

A process per node, the simulator included; as in the launch file, a process that died is started again after a second. A question
is asked all the time. Printed for each node: the time from the kill to the next answer, and to the next one that rests on camera
and lidar. The exit status is 1 where answers did not come back, one was published twice, or they have different revisions.

    python benchmark/kill_nodes.py --kills 50 --json out/kill_nodes.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import psutil
import rclpy
from mmllm_ros.msg import Answer as AnswerMessage
from rclpy.node import Node
from rich.console import Console
from rich.table import Table

from mmllm_ros.datatypes import Answer
from mmllm_ros.launch_setup import node_names
from mmllm_ros.nodes.clients.ask_client import AskClient
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig

QUESTION = "Are there any cars?"
RESPAWN_DELAY = 1.0
PATIENCE = 300.0
SETTLE = 3.0
"""Between an answer from camera and lidar and the next kill [s]."""


class Processes:
    """The processes of a robot, each started again when it ends."""

    def __init__(self, rig: str, model: str) -> None:
        common = {"rig": rig, "model": model, "device": "cpu", "clock": "false"}
        settings = {"simulator": {**common, "duration": "0.0"}, **dict.fromkeys(node_names(load_rig(rig)), common)}
        self._commands = {
            name: [
                *(sys.executable, "-m", f"mmllm_ros.nodes.{name}", "--ros-args"),
                *(word for key, value in values.items() for word in ("-p", f"{key}:={value}")),
                *("--log-level", "error"),
            ]
            for name, values in settings.items()
        }
        self.running = {name: subprocess.Popen(command) for name, command in self._commands.items()}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._respawn)
        self._thread.start()

    def _respawn(self) -> None:
        while not self._ending.wait(0.05):
            for name, process in self.running.items():
                if process.poll() is not None and not self._ending.wait(RESPAWN_DELAY):
                    self.running[name] = subprocess.Popen(self._commands[name])

    def end(self) -> None:
        """End all."""
        self._ending.set()
        self._thread.join()
        for process in self.running.values():
            process.kill()
            process.wait()


class Asker(Node):
    """Asks one question after the other; `published` counts the answers by id, `revisions` are theirs."""

    def __init__(self) -> None:
        super().__init__("kill_nodes")
        self.client = AskClient(self)
        self.published: dict[tuple[str, int], int] = defaultdict(int)
        self.revisions: set[str] = set()
        self.lives = 0
        self.create_subscription(AnswerMessage, "mmllm/answers", self._on_answer, 10)

    def _on_answer(self, answer: AnswerMessage) -> None:
        self.published[answer.question_id, self.lives] += 1  # a new llm process counts from 1 again
        self.revisions.add(answer.revision)

    def ask(self) -> Answer | None:
        """The answer, None where none comes within 5 s."""
        if not self.client.wait_for_server(0.2):
            return None
        future = self.client.ask(QUESTION)
        rclpy.spin_until_future_complete(self, future, timeout_sec=5.0)
        if not future.done():  # its server was killed
            self.client.destroy()
            self.client = AskClient(self)
            return None
        rclpy.spin_once(self, timeout_sec=0.1)
        return future.result() if isinstance(future.result(), Answer) else None

    def recovery(self, modalities: set[str]) -> tuple[float, float]:
        """Seconds until the next answer, and until the next one that rests on sensors of all `modalities`; nan = never."""
        started, first = time.monotonic(), float("nan")
        while (took := time.monotonic() - started) < PATIENCE:
            if (answer := self.ask()) is None:
                continue
            took = time.monotonic() - started
            first = took if first != first else first
            if modalities <= {item.modality for item in answer.evidence}:
                return first, took
        return first, float("nan")


def main() -> None:
    """Kill, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rig", default="front")
    parser.add_argument("--model", default=str(default_model()))
    parser.add_argument("--json", type=Path, default=Path("out/kill_nodes.json"))
    arguments = parser.parse_args()
    load = psutil.cpu_percent(3.0)
    os.environ |= {"ROS_DOMAIN_ID": "94", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    rng = np.random.default_rng(arguments.seed)
    rclpy.init(args=[])
    node, robot = Asker(), Processes(arguments.rig, arguments.model)
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    needed = {"camera", "lidar"}
    try:
        node.recovery(needed)
        for number in range(arguments.kills):
            time.sleep(SETTLE)
            names = list(robot.running)
            name = names[number] if number < len(names) else str(rng.choice(names))
            node.lives += name == "llm"
            robot.running[name].kill()
            times[name].append(node.recovery(needed))
            print(
                f"{number + 1} {name}: {times[name][-1][0]:.1f} s, from camera and lidar after {times[name][-1][1]:.1f} s",
                flush=True,
            )
    finally:
        robot.end()
        node.client.destroy()
        node.destroy_node()
        rclpy.try_shutdown()
    twice = sum(count > 1 for count in node.published.values())
    table = Table("killed", "times", "next answer [s], median and longest", "from camera and lidar [s]")
    for name, pairs in times.items():
        columns = [f"{np.median(values):.1f}, {max(values):.1f}" for values in zip(*pairs, strict=True)]
        table.add_row(name, str(len(pairs)), *columns)
    Console(width=120).print(
        table, f"{twice} answers published twice; revisions {sorted(node.revisions)}; CPU of others {load:.0f} %"
    )
    report = {"cpu of other programs [%]": load, "recovery [s]": times, "twice": twice, "revisions": sorted(node.revisions)}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    lost = any(value != value for pairs in times.values() for pair in pairs for value in pair)
    sys.exit(int(lost or twice > 0 or len(node.revisions) > 1))


if __name__ == "__main__":
    main()
