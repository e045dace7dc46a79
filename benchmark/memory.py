# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Resident memory of a drive in one process against the same nodes in a process each.

python benchmark/memory.py --json out/memory.json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from rich.console import Console

NODES = ("simulator", "camera_encoder", "lidar_encoder", "imu_encoder", "context_monitor", "llm", "visualizer")
SETTLED = 25.0
"""Seconds until every node has loaded its weights and answers, on a busy machine too."""
FOREVER = ("--ros-args", "-p", "duration:=0.0")


def resident(names: tuple[str, ...], domain: int) -> dict[str, float]:
    """MB resident in each node's process after SETTLED seconds; all run at once, in a separate DDS domain."""
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", f"mmllm_ros.nodes.{name}", *(FOREVER if name in ("simulator", "drive") else ())],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        for name in names
    }
    try:
        time.sleep(SETTLED)
        return {name: psutil.Process(process.pid).memory_info().rss / 1e6 for name, process in running.items()}
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait(30)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("out/memory.json"))
    arguments = parser.parse_args()
    apart = resident(NODES, 91)
    together = resident(("drive",), 92)["drive"]
    report = {"apart_mb": apart, "apart_sum_mb": sum(apart.values()), "drive_mb": together}
    report["drive / sum"] = together / report["apart_sum_mb"]
    listed = ", ".join(f"{name} {size:.0f}" for name, size in apart.items())
    console = Console()
    console.print(f"apart: {report['apart_sum_mb']:.0f} MB ({listed})")
    console.print(f"drive, all in one process: {together:.0f} MB, {report['drive / sum']:.2f} of that")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
