# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A robot that runs for long on a looped recording, whose clock jumps back with each loop: does anything grow or slow down.

All nodes run in one process; standing questions are asked at 1 Hz and one question a second here. Every ten seconds the memory,
threads, open handles and CPU of the process are written to a CSV file, with the answers and their median latency. The first and
the last quarter of the time after a warm-up are compared. The exit status is 1 where the memory grew by more than 5 %, the number
of threads or handles at all, the latency by more than 10 %, or the process ended. Beside other programs the latency follows their
load; the CPU time of the process does so less, and is printed too.

    python benchmark/soak.py --minutes 60 --csv out/soak.csv --json benchmark/results/soak.json

`--bag` and `--rig` name another recording; without it a drive of 20 s is simulated.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import psutil
import rclpy
from node_processes import node_command, own_domain, running
from question_client import QuestionClient
from results_file import write_results

from mmllm_ros.resources import default_model

QUESTIONS = ("Are there any cars?", "Am I moving?", "How many pedestrians are there?", "Are there any trucks?")
WATCH = "Are there any cars?|Am I moving?|Are there any pedestrians?"
PERIOD = 10.0
WARM_UP = 0.2
"""Part of the time in which caches fill; it is not judged."""

MOST_GROWTH = {"memory [MiB]": 0.05, "threads": 0.0, "handles": 0.0, "latency [ms]": 0.10}


def record(folder: Path, rig: str) -> Path:
    """A simulated drive of 20 s."""
    options = ["simulate", "40", "--out", str(folder / "drive"), "--rig", rig]
    subprocess.run([sys.executable, "-m", "mmllm_ros", *options], check=True, stdout=subprocess.DEVNULL)
    return next((folder / "drive").rglob("metadata.yaml")).parent


def follow(robot: psutil.Popen, client: QuestionClient, seconds: float, path: Path) -> list[dict[str, float]]:
    """Ask once a second and write a row for each PERIOD, until the process ends."""
    rows: list[dict[str, float]] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with path.open("w", newline="") as file:
        while time.monotonic() < started + seconds and robot.poll() is None:
            begun, used, latencies, sensed, asked = time.monotonic(), sum(robot.cpu_times()[:2]), [], 0, 0
            while time.monotonic() < begun + PERIOD:
                answer = client.ask(QUESTIONS[asked % len(QUESTIONS)])
                asked += 1
                if answer is not None:
                    latencies.append(answer.latency)
                    sensed += bool(answer.evidence)
                while time.monotonic() < begun + asked:
                    rclpy.spin_once(client, timeout_sec=0.1)
            if robot.poll() is not None:
                break
            rows.append(
                {
                    "time [s]": round(time.monotonic() - started, 1),
                    "memory [MiB]": round(robot.memory_info().rss / 2**20, 1),
                    "threads": robot.num_threads(),
                    "handles": robot.num_fds(),
                    "latency [ms]": round(1000 * float(np.median(latencies)), 1) if latencies else float("nan"),
                    "cores": round((sum(robot.cpu_times()[:2]) - used) / (time.monotonic() - begun), 3),
                    "asked": asked,
                    "answered": len(latencies),
                    "from sensors": sensed,
                }
            )
            table = csv.DictWriter(file, rows[0])
            if len(rows) == 1:
                table.writeheader()
            table.writerow(rows[-1])
            file.flush()
    return rows


def growth(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Of each figure: its median in the first and in the last quarter after the warm-up, and the relative difference."""
    judged = rows[int(WARM_UP * len(rows)) :]
    quarter = max(1, len(judged) // 4)
    figures = {}
    for name in (*MOST_GROWTH, "cores"):
        first, last = (float(np.nanmedian([row[name] for row in part])) for part in (judged[:quarter], judged[-quarter:]))
        figures[name] = {"first": first, "last": last, "growth": last / first - 1.0}
    return figures


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """One curve for each figure."""
    names = (*MOST_GROWTH, "cores")
    figure, axes = plt.subplots(len(names), 1, sharex=True, figsize=(8, 9), constrained_layout=True)
    minutes = [row["time [s]"] / 60 for row in rows]
    for name, axis in zip(names, axes, strict=True):
        axis.plot(minutes, [row[name] for row in rows], linewidth=1)
        axis.set_ylabel(name)
        axis.set_ylim(0, 1.1 * np.nanmax([row[name] for row in rows]))
        axis.axvspan(0, WARM_UP * minutes[-1], color="0.92")
    axes[0].set_title("one process with all nodes on a looped recording; grey: warm-up, not judged")
    axes[-1].set_xlabel("time [min]")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--bag", type=Path)
    parser.add_argument("--rig", default="front")
    parser.add_argument("--model", default=str(default_model()))
    parser.add_argument("--csv", type=Path, default=Path("out/soak.csv"), help="a plot is written beside it")
    parser.add_argument("--json", type=Path, default=Path("benchmark/results/soak.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, own_domain():
        bag = arguments.bag or record(Path(folder), arguments.rig)
        settings = {"source": "bag", "bag": bag, "loop": True, "duration": 0.0, "interval": 0.0, "out": folder}
        command = node_command("drive", rig=arguments.rig, model=arguments.model, device="cpu", **settings)
        command += ["-p", f"llm:watch:='{WATCH}'", "-p", "llm:watch_rate:=1.0"]
        with running({"drive": command}) as processes:
            client = QuestionClient("soak")
            try:
                while processes["drive"].poll() is None and not ((answer := client.ask(QUESTIONS[0])) and answer.evidence):
                    rclpy.spin_once(client, timeout_sec=0.5)
                rows = follow(processes["drive"], client, 60 * arguments.minutes, arguments.csv)
                alive = processes["drive"].poll() is None
            finally:
                client.destroy_node()
    if len(rows) < 10:
        raise SystemExit(f"only {len(rows)} rows: the robot ended, or --minutes is below 2")
    figures = growth(rows)
    totals = {name: int(sum(row[name] for row in rows)) for name in ("asked", "answered", "from sensors")}
    for name, values in figures.items():
        print(f"{name}: {values['first']:.1f} to {values['last']:.1f}, {100 * values['growth']:+.1f} %")
    print(f"{rows[-1]['time [s]'] / 60:.1f} minutes, {totals}, alive at the end: {alive}")
    draw(rows, arguments.csv.with_suffix(".png"))
    write_results(arguments.json, {"minutes": rows[-1]["time [s]"] / 60, "alive": alive, **totals, **figures})
    sys.exit(int(not alive or any(figures[name]["growth"] > most for name, most in MOST_GROWTH.items())))


if __name__ == "__main__":
    main()
