# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kill -9 of a random node of a robot, again and again: how long until questions are answered again.

A process per node, the simulator included; as in the launch file, a process that died is started again after a second. The llm
node has a parent that starts it again, and either is killed. A question is asked all the time, again after a second without an
answer. Printed for each: the time from the kill to the next answer, and to the next one that rests on camera or lidar. At the end
all are interrupted as by Ctrl-C. The exit status is 1 where answers did not come back, one was published twice, they have
different revisions, or a process ended with a status.

    python benchmark/kill_nodes.py --kills 50 --json benchmark/results/kill_nodes.json
    python benchmark/kill_nodes.py --kills 10 --only llm
"""

from __future__ import annotations

import argparse
import signal
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
from node_processes import own_domain, robot_commands
from question_client import QuestionClient
from results_file import write_results
from rich.console import Console
from rich.table import Table

from mmllm_ros.resources import default_model

QUESTION = "Are there any cars?"
ABLE = {"camera", "lidar"}
"""Either can answer it; on a busy machine the plan connects one of them."""
RESPAWN_DELAY = 1.0
PATIENCE = 300.0
ANSWER_TIMEOUT = 1.0
"""A question without an answer is asked again after so long [s], or after a quarter of the time since the kill."""
SETTLE = 3.0
"""Between an answer from sensors and the next kill, or the end [s]."""


class Processes:
    """The processes of a robot, each started again when it ends."""

    def __init__(self, rig: str, model: str) -> None:
        self._commands = robot_commands(rig, model)
        self.running = {name: subprocess.Popen(command) for name, command in self._commands.items()}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._respawn)
        self._thread.start()

    def _respawn(self) -> None:
        while not self._ending.wait(0.05):
            for name, process in self.running.items():
                if process.poll() is not None and not self._ending.wait(RESPAWN_DELAY):
                    self.running[name] = subprocess.Popen(self._commands[name])

    def victims(self) -> dict[str, psutil.Process]:
        """The processes of the nodes, and the parent of a node that has one, by name."""
        found = {}
        for name, process in self.running.items():
            parent = psutil.Process(process.pid)
            children = parent.children()
            found |= {name: children[0], f"parent of {name}": parent} if children else {name: parent}
        return found

    def end(self) -> tuple[float, dict[str, int]]:
        """Interrupt all as Ctrl-C does: seconds until the last has ended, and their exit statuses."""
        self._ending.set()
        self._thread.join()
        started = time.monotonic()
        for process in self.running.values():
            process.send_signal(signal.SIGINT)
        for process in self.running.values():
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        return time.monotonic() - started, {name: process.wait() for name, process in self.running.items()}


class Asker(QuestionClient):
    """Asks one question after the other; `published` counts the answers by id, `revisions` are theirs."""

    def __init__(self) -> None:
        super().__init__("kill_nodes")
        self.published: dict[tuple[str, int], int] = defaultdict(int)
        self.revisions: set[str] = set()
        self.lives = 0
        self.create_subscription(AnswerMessage, "mmllm/answers", self._on_answer, 10)

    def _on_answer(self, answer: AnswerMessage) -> None:
        self.published[answer.question_id, self.lives] += 1  # a new llm process counts from 1 again
        self.revisions.add(answer.revision)

    def recovery(self) -> tuple[float, float]:
        """Seconds until the next answer, and until the next one from a sensor that can answer; nan = never."""
        started, first = time.monotonic(), float("nan")
        while (took := time.monotonic() - started) < PATIENCE:
            if (answer := self.ask(QUESTION, max(ANSWER_TIMEOUT, took / 4))) is None:
                continue
            rclpy.spin_once(self, timeout_sec=0.1)  # it is published, too
            took = time.monotonic() - started
            first = took if first != first else first
            if ABLE & {item.modality for item in answer.evidence}:
                return first, took
        return first, float("nan")


def main() -> None:
    """Kill, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only", help="kill this one only, for example `parent of llm`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rig", default="front")
    parser.add_argument("--model", default=str(default_model()))
    parser.add_argument("--json", type=Path, default=Path("benchmark/results/kill_nodes.json"))
    arguments = parser.parse_args()
    load = psutil.cpu_percent(3.0)
    rng = np.random.default_rng(arguments.seed)
    with own_domain():
        node, robot = Asker(), Processes(arguments.rig, arguments.model)
        times: dict[str, list[tuple[float, float]]] = defaultdict(list)
        try:
            node.recovery()
            time.sleep(SETTLE)
            for number in range(arguments.kills):
                victims = robot.victims()
                names = [arguments.only] if arguments.only else [*victims]
                name = names[number] if number < len(names) else str(rng.choice(names))
                node.lives += name.endswith("llm")
                victims[name].kill()
                times[name].append(node.recovery())
                print(
                    f"{number + 1} {name}: {times[name][-1][0]:.1f} s, from sensors after {times[name][-1][1]:.1f} s",
                    flush=True,
                )
                time.sleep(SETTLE)
        finally:
            seconds, statuses = robot.end()
            node.destroy_node()
    twice = sum(count > 1 for count in node.published.values())
    table = Table("killed", "times", "next answer [s], median and longest", "from sensors [s]")
    for name, pairs in times.items():
        columns = [f"{np.median(values):.1f}, {max(values):.1f}" for values in zip(*pairs, strict=True)]
        table.add_row(name, str(len(pairs)), *columns)
    Console(width=120).print(
        table,
        f"{twice} answers published twice; revisions {sorted(node.revisions)}; CPU of others {load:.0f} %; "
        f"after Ctrl-C all ended in {seconds:.1f} s with {statuses}",
    )
    report = {"cpu of other programs [%]": load, "recovery [s]": times, "twice": twice, "revisions": sorted(node.revisions)}
    report |= {"end [s]": seconds, "statuses": statuses}
    write_results(arguments.json, report)
    lost = any(value != value for pairs in times.values() for pair in pairs for value in pair)
    sys.exit(int(lost or twice > 0 or len(node.revisions) > 1 or any(statuses.values())))


if __name__ == "__main__":
    main()
