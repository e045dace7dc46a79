# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plugging and unplugging over DDS: delay until it takes effect, lost answers, and CPU load of the context monitor.

python benchmark/modality_switching.py --json out/modality_switching.json

Every node is a separate process, as with `ros2 launch`, and so is the client. Modalities are switched with operator overrides.
Measured are the times from the plan to the first answer without the sensor, and to the first new tokens of a plugged sensor with
weights resident and unloaded; the latency of answers with everything plugged; lost answers with random switches while questions
are asked continuously; and the CPU load of the monitor with six cameras, lidar and IMU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

os.environ.setdefault("ROS_DOMAIN_ID", "93")
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mmllm_ros.msg import ModalityPlan, SensorTokens
from mmllm_ros.srv import Ask, SetModality
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rich.console import Console

from mmllm_ros.nodes.ros_support import qos

QUESTIONS = {"camera": "Are there any cars?", "lidar": "Are there any cars?", "imu": "Am I moving?"}
"""For each modality a question that needs it."""
MODALITIES = tuple(QUESTIONS)
LONGEST = 180.0
"""Longest wait for any event [s]."""
CALM, CALM_FOR = 85.0, 3.0
"""Start-up is complete when the CPU load is below this [%] for this time [s]."""
OUT_FOR = 0.3, 0.8
"""Range of the random time [s] between unplugging and plugging. Right after a frame there is none to encode, and a fixed time
would correlate with the rates of the nodes."""
NODES = ("simulator", "camera_encoder", "lidar_encoder", "imu_encoder", "llm", "context_monitor")


def until(holds: Callable[[], bool], what: str, pause: float = 0.001) -> None:
    """Wait until `holds()` is true; ends the program with one line where it is not within LONGEST."""
    deadline = time.monotonic() + LONGEST
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"modality_switching: {what} did not come within {LONGEST:g} s")
        time.sleep(pause)


class Client:
    """Calls of an operator and of a user; each call waits for its response."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = rclpy.create_node("modality_switching")
        services = {Ask: "mmllm/ask", SetModality: "mmllm/set_modality", ChangeState: "lidar_encoder/change_state"}
        self._clients = {kind: self.node.create_client(kind, name) for kind, name in services.items()}
        self.tokens: dict[str, float] = {}
        self.plans: list[tuple[float, dict[str, bool]]] = []
        self.encode_rate_share = 0.0
        self.node.create_subscription(SensorTokens, "mmllm/tokens", self._on_tokens, qos.RELIABLE)
        self.node.create_subscription(ModalityPlan, "mmllm/plan", self._on_plan, qos.LATCHED)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        threading.Thread(target=self._spin, daemon=True).start()
        for client in self._clients.values():
            client.wait_for_service(120.0)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _on_tokens(self, message: SensorTokens) -> None:
        self.tokens[message.modality] = time.monotonic()

    def _on_plan(self, plan: ModalityPlan) -> None:
        self.encode_rate_share = plan.encode_rate_share
        self.plans.append((time.monotonic(), dict(zip(plan.modalities, plan.plugged))))

    def call(self, kind: type, **fields):
        done = threading.Event()
        future = self._clients[kind].call_async(kind.Request(**fields))
        future.add_done_callback(lambda _: done.set())
        return future.result() if done.wait(60.0) else None

    def ask(self, modality: str) -> set[str] | None:
        """The modalities in the evidence of the answer to the question about `modality`, None without an answer."""
        response = self.call(Ask, question=QUESTIONS[modality], timeout=30.0)
        return {item.modality for item in response.answer.evidence} if response and response.success else None

    def ready(self) -> None:
        """Wait until every modality is plugged and used by answers, and load shedding has ended."""
        for modality in MODALITIES:
            self.call(SetModality, modality=modality, mode=SetModality.Request.PLUGGED)
        for modality in MODALITIES:
            until(lambda: modality in (self.ask(modality) or ()), f"an answer that uses {modality}", 0.5)  # noqa: B023
        until(lambda: psutil.cpu_percent(CALM_FOR) < CALM, "a machine that has started all processes")
        until(lambda: self.encode_rate_share == 1.0, "a plan with the full encoding rate")

    def plan_received(self, modality: str, on: bool, since: float) -> float:
        """The time at which the plan with `modality` on or off arrived."""

        def arrivals() -> list[float]:
            return [moment for moment, plugged in list(self.plans) if moment >= since and plugged.get(modality) == on]

        until(lambda: bool(arrivals()), f"a plan with {modality} {'on' if on else 'off'}")
        return arrivals()[0]


def unplug(client: Client, modality: str) -> float:
    """Time from the plan to the first answer without the modality [s]."""
    since = time.monotonic()
    client.call(SetModality, modality=modality, mode=SetModality.Request.UNPLUGGED)
    plan = client.plan_received(modality, False, since)
    until(lambda: (used := client.ask(modality)) is not None and modality not in used, f"an answer without {modality}", 0.0)
    return time.monotonic() - plan


def plug(client: Client, modality: str, out_for: tuple[float, float] = OUT_FOR) -> float:
    """Seconds from the plan to the first new tokens."""
    time.sleep(np.random.uniform(*out_for))
    since = time.monotonic()
    client.call(SetModality, modality=modality, mode=SetModality.Request.PLUGGED)
    plan = client.plan_received(modality, True, since)
    until(lambda: client.tokens.get(modality, 0.0) >= plan, f"tokens of {modality}")
    return client.tokens[modality] - plan


def reload(client: Client, modality: str) -> float:
    """Time from the plan to the first new tokens of an encoder with unloaded weights [s]."""
    unplug(client, modality)
    time.sleep(1.0)
    client.call(ChangeState, transition=Transition(id=Transition.TRANSITION_CLEANUP))
    # Without a wait, because the monitor loads them again by itself.
    return plug(client, modality, (0.0, 0.0))


def answers(client: Client, count: int) -> list[float]:
    """Seconds from a question to its answer at the client, while frames come in and every modality is plugged."""
    client.ready()
    spent = []
    for number in range(count):
        time.sleep(np.random.uniform(*OUT_FOR))
        asked = time.monotonic()
        client.ask(MODALITIES[number % len(MODALITIES)])
        spent.append(time.monotonic() - asked)
    return spent


def random_switches(client: Client, count: int) -> dict[str, float]:
    """`count` random overrides while questions are asked continuously."""
    rng, stop, found = np.random.default_rng(0), threading.Event(), {"asked": 0, "lost": 0}

    def ask_continuously() -> None:
        while not stop.is_set():
            found["asked"] += 1
            found["lost"] += client.ask(MODALITIES[found["asked"] % len(MODALITIES)]) is None

    thread = threading.Thread(target=ask_continuously)
    thread.start()
    for _ in range(count):
        client.call(SetModality, modality=str(rng.choice(MODALITIES)), mode=int(rng.integers(1, 3)))
    stop.set()
    thread.join()
    return {"switches": count, **found}


@contextlib.contextmanager
def robot(rig: str, domain: str) -> Iterator[dict[str, subprocess.Popen]]:
    """A simulated robot on its own DDS domain, its processes by node name. It uses the wall clock, as a robot does."""
    environment = {**os.environ, "ROS_DOMAIN_ID": domain}
    options = ["--ros-args", "-p", f"rig:={rig}", "-p", "duration:=0.0", "-p", "clock:=false", "--log-level", "error"]
    running = {
        name: subprocess.Popen([sys.executable, "-m", f"mmllm_ros.nodes.{name}", *options], env=environment) for name in NODES
    }
    try:
        yield running
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait(60)


def monitor_load(seconds: float) -> float:
    """CPU load of the monitor, in cores, with six cameras, lidar and IMU."""
    with robot("nuscenes", "94") as running:
        time.sleep(25.0)
        process = psutil.Process(running["context_monitor"].pid)
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(seconds)
        return (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("out/modality_switching.json"))
    parser.add_argument("--times", type=int, default=5, help="each way")
    parser.add_argument("--switches", type=int, default=200, help="at random")
    arguments = parser.parse_args()
    load = monitor_load(20.0)
    spent: dict[str, dict[str, list[float]]] = {"unplug": {}, "plug": {}, "reload": {}}
    with robot("front", os.environ["ROS_DOMAIN_ID"]):
        client = Client()
        client.ready()
        for modality in MODALITIES:
            for what, switch in (("unplug", unplug), ("plug", plug)) * arguments.times:
                spent[what].setdefault(modality, []).append(switch(client, modality))
        spent["reload"]["lidar"] = [reload(client, "lidar") for _ in range(max(3, arguments.times // 5))]
        answered = answers(client, 3 * arguments.times)
        switches = random_switches(client, arguments.switches)
    report = {
        **{
            f"{what}_s": {name: {"p50": float(np.median(times)), "max": max(times)} for name, times in rows.items()}
            for what, rows in spent.items()
        },
        "answer_s": {"p50": float(np.median(answered)), "p95": float(np.percentile(answered, 95))},
        "random": switches,
        "monitor_share_of_a_core": load,
    }
    console = Console()
    for what, rows in spent.items():
        for name, times in rows.items():
            middle, most = 1000 * np.median(times), 1000 * max(times)
            console.print(f"{what} {name}: {middle:.0f} ms (median of {len(times)}), {most:.0f} ms at most")
    middle, most = (1000 * number for number in report["answer_s"].values())
    console.print(f"answer while all run: {middle:.0f} ms (median of {len(answered)}), 95 % within {most:.0f} ms")
    console.print(f"{switches['switches']} random switches: {switches['lost']} of {switches['asked']} answers lost")
    console.print(f"monitor: {100 * load:.1f} % of a core beside six cameras, lidar and IMU")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
