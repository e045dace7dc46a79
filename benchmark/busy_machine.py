# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers of a drive on an idle machine, and of the same drive beside endless loops, one per core.

Each seed is driven twice. Printed for both: accuracy with its 95 % interval over drives, what guessing without sensors would
score, the median latency, answers that say "I cannot tell", and the share of answers that rest only on modalities that cannot
answer their question (for example the colour of a traffic light from the lidar). The exit status is 1 where the busy accuracy is
more than 5 points below the idle one, or more than 2 % of the answers rest on modalities that cannot answer.

    python benchmark/busy_machine.py --seeds 5 --duration 60 --json out/busy_machine.json

Other programs on the machine make the idle drive a busy one; the script prints their CPU load before it starts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from mmllm_ros.context.question_classifier import classify_question
from mmllm_ros.evaluation.guessing import Guessing
from mmllm_ros.metrics.statistics import interval, wilson
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig

FIRST_SEED = 1_400_000_000
"""Test seeds of no other measurement."""

MOST_LOSS, MOST_UNABLE = 0.05, 0.02
LOOP = "while True: pass"


@contextmanager
def endless_loops(count: int) -> Iterator[None]:
    """That many processes that do nothing but compute."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def drive(seed: int, duration: float, model: str, rig: str) -> list[dict]:
    """The records of one drive."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "settings.yaml")
        settings.write_text(f"seed: {seed}\n")
        options = ["--duration", str(duration), "--rig", rig, "--model", model, "--out", folder, "--settings", str(settings)]
        command = [sys.executable, "-m", "mmllm_ros", "drive", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the drive with seed {seed} ended with status {done.returncode}: {done.stderr[-500:]}")
        lines = Path(folder, "drive.jsonl").read_text().splitlines()
        return [{**json.loads(line), "scene": str(seed)} for line in lines]


def rests_on_unable(record: dict) -> bool:
    """Whether an answer rests on sensors, and on none that can answer its question."""
    able = set(classify_question(record["question"]).modalities)
    used = {item["modality"] for item in record["evidence"]}
    return bool(able and used) and not able & used and not record["answer"].startswith("I cannot tell")


def figures(records: list[dict], guessing: Guessing) -> dict:
    """What is printed of the answers to all questions with a known truth."""
    graded = [record for record in records if record["truth"]]
    if not graded:
        raise SystemExit("no question was answered")
    right = [float(record["answer"] == record["truth"]) for record in graded]
    scenes = [record["scene"] for record in graded]
    return {
        "answers": len(graded),
        "accuracy": float(np.mean(right)),
        "95 % interval": interval(scenes, right) if len(set(scenes)) > 2 else wilson(int(sum(right)), len(right)),
        "by guessing": float(np.mean([guessing.right(record["question"], record["context"]) for record in graded])),
        "cannot tell": sum(record["answer"].startswith("I cannot tell") for record in graded),
        "from unable sensors": float(np.mean([rests_on_unable(record) for record in graded])),
        "latency p50 [s]": float(np.median([record["latency"] for record in graded])),
    }


def main() -> None:
    """Drive, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--duration", type=float, default=60.0, help="of each drive [s]")
    parser.add_argument("--loops", type=int, default=os.cpu_count())
    parser.add_argument("--rig", default="front")
    parser.add_argument("--model", default=str(default_model()))
    parser.add_argument("--json", type=Path, default=Path("out/busy_machine.json"))
    arguments = parser.parse_args()
    # A domain of its own: other robots and measurements must not be heard.
    os.environ |= {"ROS_DOMAIN_ID": "93", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    before = psutil.cpu_percent(3.0)
    records: dict[str, list[dict]] = {"idle": [], "busy": []}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for state, loops in (("idle", 0), ("busy", arguments.loops)):
            with endless_loops(loops):
                records[state] += drive(seed, arguments.duration, arguments.model, arguments.rig)
    guessing = Guessing(arguments.model, load_rig(arguments.rig))
    report = {"cpu of other programs [%]": before} | {state: figures(found, guessing) for state, found in records.items()}
    table = Table(*("machine", *report["idle"]), title=f"CPU of other programs before: {before:.0f} %")
    for state in records:
        table.add_row(state, *(_text(value) for value in report[state].values()))
    Console(width=160).print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    idle, busy = report["idle"], report["busy"]
    sys.exit(int(idle["accuracy"] - busy["accuracy"] > MOST_LOSS or busy["from unable sensors"] > MOST_UNABLE))


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return " to ".join(f"{end:.3f}" for end in value) if isinstance(value, tuple | list) else str(value)


if __name__ == "__main__":
    main()
