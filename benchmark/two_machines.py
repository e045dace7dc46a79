# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Encoders on the robot, the language model on another machine: bytes on the link, and answers over a bad one.

The two machines are network namespaces with a link between them (network_link.py), DDS over UDP. Measured: the bytes per second
from the robot while tokens cross the link, and while raw images, sweeps and IMU samples of the usual size do; answers with 10 %
of the packets lost and 100 ms of delay each way; and a cut of 10 s: from when on answers say that no sensor is there, and how
long after its end they rest on camera or lidar again. Needs root, iproute2 and /dev/net/tun.

    python benchmark/two_machines.py --seconds 15 --json benchmark/results/two_machines.json
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import rclpy
from ingest import USUAL, receiver_commands
from network_link import ROBOT, Link, in_robot, two_machines
from node_processes import own_domain, quantiles, robot_commands, running
from question_client import QuestionClient
from results_file import comparison_table, write_results
from rich.console import Console

from mmllm_ros.resources import EMBEDDED

HERE = Path(__file__).parent
QUESTION = "Are there any cars?"
SEEING = {"camera", "lidar"}
"""The question can be answered from either; the context monitor may choose one of them."""

RATE = 50e6
"""Of the link [bit/s]: a radio link in use."""

LOSS, DELAY, CUT = 0.10, 0.1, 10.0
START_TIMEOUT = 300.0
PERIOD = 0.5


def until_seen(node: QuestionClient, timeout: float) -> float:
    """Seconds until an answer rests on camera or lidar."""
    started = time.monotonic()
    while (took := time.monotonic() - started) < timeout:
        answer = node.ask(QUESTION)
        if answer and SEEING & {item.modality for item in answer.evidence}:
            return time.monotonic() - started
        rclpy.spin_once(node, timeout_sec=0.1)
    sys.exit(f"two_machines: no answer rests on camera or lidar after {took:.0f} s: the messages above say why")


def ask_for(node: QuestionClient, seconds: float, link: Link) -> dict:
    """Figures of answers to a question every half second, and of the link meanwhile."""
    before, dropped, started = dict(link.sent), link.dropped[ROBOT], time.monotonic()
    asked, seen, latencies, ages = 0, 0, [], []
    while time.monotonic() < started + seconds:
        began = time.monotonic()
        answer = node.ask(QUESTION)
        asked += 1
        if answer:
            latencies.append(time.monotonic() - began)
            ages.extend(item.age for item in answer.evidence)
            seen += bool(SEEING & {item.modality for item in answer.evidence})
        while time.monotonic() < started + asked * PERIOD:
            rclpy.spin_once(node, timeout_sec=0.02)
    took = time.monotonic() - started
    return {
        "asked": asked,
        "answered": len(latencies),
        "from camera or lidar": seen,
        "answer [ms]": quantiles(latencies),
        "age of the evidence [ms]": quantiles(ages),
        "from the robot [kB/s]": (link.sent[ROBOT] - before[ROBOT]) / took / 1000,
        "lost of it": (link.dropped[ROBOT] - dropped) / max(1, link.sent[ROBOT] - before[ROBOT]),
    }


def cut(node: QuestionClient, link: Link) -> dict[str, float]:
    """A cut link: seconds until an answer rests on no sensor, and from its return until one rests on camera or lidar."""
    started, link.cut, blind = time.monotonic(), True, float("nan")
    while time.monotonic() < started + CUT:
        answer = node.ask(QUESTION)
        if blind != blind and answer and not answer.evidence:
            blind = time.monotonic() - started
        rclpy.spin_once(node, timeout_sec=0.1)
    link.cut = False
    return {"without sensors after [s]": blind, "from sensors again after [s]": until_seen(node, 60.0)}


def tokens(options: argparse.Namespace, link: Link) -> dict[str, dict]:
    """Figures with the encoders and the context monitor on the robot and the llm node here."""
    commands = robot_commands(options.rig, options.model)
    local = {"llm": commands.pop("llm")}
    commands.pop("visualizer")
    node = QuestionClient("two_machines")
    try:
        with running({name: in_robot(command) for name, command in commands.items()}), running(local):
            until_seen(node, START_TIMEOUT)
            report = {"good link": ask_for(node, options.seconds, link)}
            link.loss, link.delay = LOSS, DELAY
            report["10 % loss, 100 ms"] = ask_for(node, options.seconds, link)
            link.loss, link.delay = 0.0, 0.0
            until_seen(node, 60.0)
            report["cut of 10 s"] = cut(node, link)
            return report
    finally:
        node.destroy_node()


def raw(options: argparse.Namespace, link: Link) -> dict:
    """Bytes from the robot while the raw sensor topics cross the link."""
    sensors = [sys.executable, str(HERE / "sensor_publisher.py"), "--cameras", str(options.cameras), "--jpeg"]
    receivers = receiver_commands(USUAL, True, options.model)
    with running({"publisher": in_robot(sensors)}), running(receivers, stdout=subprocess.PIPE):
        deadline = time.monotonic() + START_TIMEOUT
        idle = link.sent[ROBOT]
        while (before := link.sent[ROBOT]) < idle + 1e6:
            if time.monotonic() > deadline:
                sys.exit("two_machines: the publisher did not start: the messages above say why")
            time.sleep(0.5)
        dropped, started = link.dropped[ROBOT], time.monotonic()
        time.sleep(options.seconds)
        took, sent = time.monotonic() - started, link.sent[ROBOT] - before
        return {"from the robot [kB/s]": sent / took / 1000, "lost of it": (link.dropped[ROBOT] - dropped) / sent}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each of the three measurements")
    parser.add_argument("--rig", default="front")
    parser.add_argument("--cameras", type=int, default=1, help="number of 1600x900 JPEG cameras among the raw topics")
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--json", type=Path, default=Path("benchmark/results/two_machines.json"))
    options = parser.parse_args()
    load = psutil.cpu_percent(3.0)
    with two_machines() as link:
        # Shared memory would bypass the link: it crosses network namespaces.
        os.environ["FASTDDS_BUILTIN_TRANSPORTS"] = "UDPv4"
        with own_domain("SUBNET"):
            link.rate = RATE
            report = {"raw topics": raw(options, link)} | tokens(options, link)
    Console(width=150).print(
        comparison_table(report, f"link of {RATE / 1e6:.0f} Mbit/s, CPU of other programs before: {load:.0f} %")
    )
    write_results(options.json, {"cpu of other programs [%]": load, **report})


if __name__ == "__main__":
    main()
