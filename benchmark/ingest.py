# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CPU of receiving a car's sensors: our encoder nodes against the usual rclpy node that converts every message.

Six 1600x900 cameras at 12 Hz (rgb8, then JPEG), a lidar of 34,000 points at 20 Hz and an IMU at 100 Hz come over DDS from another
process. In turn, a process for each modality receives them: one that takes nothing (what the transport alone costs), the usual
node, our encoder while inactive, which converts a message and measures health at 2 Hz, and the same while it encodes at 2 Hz too.
The parameter services of the receivers are called meanwhile. Last, the usual node without the Fast DDS profile config/fastdds.xml
at the publisher.

The CPU is user and system time of the receivers by second. A busy machine publishes fewer messages; the table says how many. The
exit status is 1 where our inactive nodes need more than a quarter of the usual ones' CPU.

    python benchmark/ingest.py --seconds 8 --cameras 6 --json benchmark/results/ingest.json
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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import rclpy
from convert_every_message import MODALITIES
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mmllm_ros.msg import SensorTokens
from node_processes import CpuMeter, node_command, own_domain, quantiles, running
from rcl_interfaces.srv import GetParameters
from rclpy.client import Client
from rclpy.node import Node
from results_file import write_results
from rich.console import Console
from rich.table import Table

from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.resources import EMBEDDED, shared_folder
from mmllm_ros.rig import load_rig

HERE = Path(__file__).parent
PROFILE = shared_folder() / "config" / "fastdds.xml"
RIG = "nuscenes"
NO_PROFILE = "rgb8, no profile"
MOST = 0.25
PROBE_PERIOD = 0.05
START_TIMEOUT = 300.0
SETTLE = 2.0
"""After the start of the receivers [s], for the first messages."""

TRANSPORT, USUAL, OURS = "transport alone", "converts every message", "ours, inactive"
ENCODING = "ours, encoding at 2 Hz"


class Prober(Node):
    """Calls the parameter services of the receivers, and counts tokens."""

    def __init__(self) -> None:
        super().__init__("ingest_benchmark")
        self.tokens: dict[str, int] = defaultdict(int)
        self._parameters = {name: self.create_client(GetParameters, f"{name}_encoder/get_parameters") for name in MODALITIES}
        self._change = {name: self.create_client(ChangeState, f"{name}_encoder/change_state") for name in MODALITIES}
        self.create_subscription(SensorTokens, "mmllm/tokens", self._on_tokens, qos.RELIABLE)

    def _on_tokens(self, message: SensorTokens) -> None:
        self.tokens[message.modality] += 1

    def _call(self, client: Client, request: object) -> float:
        """Seconds until the response."""
        if not client.wait_for_service(START_TIMEOUT):
            sys.exit(f"ingest: {client.srv_name} is not there: the messages above say why")
        started = time.monotonic()
        future = client.call_async(request)
        rclpy.spin_until_future_complete(self, future, timeout_sec=START_TIMEOUT)
        if not future.done():
            sys.exit(f"ingest: {client.srv_name} did not answer within {START_TIMEOUT:g} s")
        return time.monotonic() - started

    def request(self, transition: int) -> None:
        """A lifecycle transition of our encoders."""
        for client in self._change.values():
            self._call(client, ChangeState.Request(transition=Transition(id=transition)))

    def wait_for_publisher(self) -> None:
        """Wait until the last topic is published: a publisher prepares its messages first."""
        deadline = time.monotonic() + START_TIMEOUT
        while not self.count_publishers(load_rig(RIG).imu.topic):
            if time.monotonic() > deadline:
                sys.exit("ingest: the publisher did not start: the messages above say why")
            self.wait_for(0.2)

    def wait_for(self, seconds: float) -> None:
        """Receive for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)

    def probe(self) -> None:
        """One call of each parameter service."""
        for name in MODALITIES:
            self._call(self._parameters[name], GetParameters.Request(names=["use_sim_time"]))

    def durations(self, seconds: float) -> list[float]:
        """Durations [s] of calls of the parameter services, one after the other for `seconds`."""
        deadline, found = time.monotonic() + seconds, []
        while time.monotonic() < deadline:
            client = self._parameters[MODALITIES[len(found) % len(MODALITIES)]]
            found.append(self._call(client, GetParameters.Request(names=["use_sim_time"])))
            self.wait_for(PROBE_PERIOD)
        return found


@contextlib.contextmanager
def publisher(options: argparse.Namespace, jpeg: bool, profile: bool) -> Iterator[psutil.Popen]:
    """The process that publishes the sensors."""
    command = [sys.executable, str(HERE / "sensor_publisher.py"), "--rig", RIG, "--cameras", str(options.cameras)]
    command += ["--camera-rate", str(options.camera_rate), *(["--jpeg"] if jpeg else [])]
    with running({"publisher": command}, env=environment(profile)) as processes:
        yield processes["publisher"]


def environment(profile: bool) -> dict[str, str]:
    """This process's environment with, or without, the Fast DDS profile."""
    others = {name: value for name, value in os.environ.items() if name != "FASTRTPS_DEFAULT_PROFILES_FILE"}
    return others | ({"FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE)} if profile else {})


def receiver_commands(receiver: str, jpeg: bool, model: str) -> dict[str, list[str]]:
    """The command lines of the receivers by modality."""
    if receiver == OURS:
        return {name: node_command(f"{name}_encoder", rig=RIG, model=model, device="cpu") for name in MODALITIES}
    more = ["--rig", RIG, "--take", "none" if receiver == TRANSPORT else "every", *(["--jpeg"] if jpeg else [])]
    return {name: [sys.executable, str(HERE / "convert_every_message.py"), name, *more] for name in MODALITIES}


def measure(node: Prober, processes: Mapping[str, psutil.Popen], source: psutil.Popen, seconds: float) -> dict:
    """Figures of receivers that run."""
    node.wait_for(SETTLE)
    node.tokens.clear()
    meters = {name: CpuMeter(process) for name, process in {**processes, "publisher": source}.items()}
    durations = node.durations(seconds)
    cores = {name: meter.cores for name, meter in meters.items()}
    return {
        "cores": sum(cores[name] for name in MODALITIES),
        "cores by modality": cores,
        "parameter service [ms]": quantiles(durations) | {"longest": 1000 * max(durations)},
        "encoded [Hz]": {name: count / seconds for name, count in sorted(node.tokens.items())},
    }


def measure_images(
    node: Prober, receivers: Sequence[str], jpeg: bool, profile: bool, options: argparse.Namespace
) -> dict[str, dict]:
    """Figures of each kind of receiver of one kind of image."""
    found = {}
    with publisher(options, jpeg, profile) as source:
        node.wait_for_publisher()
        for receiver in receivers:
            commands = receiver_commands(receiver, jpeg, options.model)
            with running(commands, env=environment(False), stdout=subprocess.PIPE) as processes:
                if receiver == OURS:
                    node.request(Transition.TRANSITION_CONFIGURE)
                node.probe()
                found[receiver] = measure(node, processes, source, options.seconds)
                if receiver == OURS:
                    node.request(Transition.TRANSITION_ACTIVATE)
                    found[ENCODING] = measure(node, processes, source, options.seconds)
            if receiver == USUAL:
                printed = {name: process.stdout.read() for name, process in processes.items()}
                found[USUAL]["messages"] = {name: json.loads(lines) for name, lines in printed.items()}
    return found


def measure_all(options: argparse.Namespace) -> dict[str, dict[str, dict]]:
    """Figures of each kind of receiver, by what is published."""
    node = Prober()
    try:
        return {
            "rgb8": measure_images(node, (TRANSPORT, USUAL, OURS), False, True, options),
            "JPEG": measure_images(node, (TRANSPORT, USUAL, OURS), True, True, options),
            NO_PROFILE: measure_images(node, (USUAL,), False, False, options),
        }
    finally:
        node.destroy_node()


def show(report: dict[str, dict[str, dict]], title: str) -> Table:
    """The table."""
    columns = (
        "images",
        "receiver",
        "cores",
        "of the usual",
        "publisher",
        "images received of sent",
        "encoded",
        "services p50/p99",
    )
    table = Table(*columns, title=title)
    for images, rows in report.items():
        for receiver, row in rows.items():
            counts = row.get("messages", {}).get("camera")
            received = f"{counts['received']} of {counts['sent']}" if counts else ""
            encoded = ", ".join(f"{name} {rate:.1f}" for name, rate in row.get("encoded [Hz]", {}).items())
            service = row["parameter service [ms]"]
            figures = (f"{row['cores']:.3f}", f"{row['cores'] / rows[USUAL]['cores']:.2f}")
            sent = f"{row['cores by modality']['publisher']:.2f}"
            table.add_row(images, receiver, *figures, sent, received, encoded, f"{service['p50']:.0f} / {service['p99']:.0f} ms")
    return table


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each of the nine measurements")
    parser.add_argument("--cameras", type=int, default=6, help="the first of the rig's six")
    parser.add_argument("--camera-rate", type=float, default=12.0)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--json", type=Path, default=Path("benchmark/results/ingest.json"))
    options = parser.parse_args()
    load = psutil.cpu_percent(3.0)
    with own_domain():
        report = measure_all(options)
    title = f"{options.cameras} cameras at {options.camera_rate:g} Hz, CPU of other programs before: {load:.0f} %"
    Console(width=160).print(show(report, title))
    write_results(options.json, {"cpu of other programs [%]": load, "cameras": options.cameras, **report})
    shares = [rows[OURS]["cores"] / rows[USUAL]["cores"] for name, rows in report.items() if name != NO_PROFILE]
    sys.exit(int(max(shares) > MOST))


if __name__ == "__main__":
    main()
