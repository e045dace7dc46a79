# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CPU time of a simulated frame: a whole rig and the same drive with fewer sensors.

    OMP_NUM_THREADS=1 python benchmark/simulator.py --json out/simulator.json

CPU time of this process, which depends less on other load of the machine than wall time. Training renders frames with one
process per core.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from mmllm_ros.rig import Rig, load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.questions.question_maker import ask

CONTEXTS = ("day", "night", "fog", "rain", "glare")
FRAMES = 4
TRAINING_FRAMES = 20_000


def frame_ms(rig: Rig, drives: int) -> float:
    """CPU milliseconds per captured frame with its half second of drive; the set-up of the world is shared by FRAMES of them."""
    started = time.process_time()
    for seed in range(drives):
        drive = Drive(500_000_000 + seed, rig, CONTEXTS[seed % len(CONTEXTS)])
        for _ in range(FRAMES):
            drive.advance(0.5)
            drive.capture()
    return 1e3 * (time.process_time() - started) / (drives * FRAMES)


def question_ms(rig: Rig, drives: int) -> float:
    """CPU milliseconds per question asked about a captured frame."""
    spent = asked = 0.0
    for seed in range(drives):
        drive = Drive(500_000_000 + seed, rig)
        drive.advance(1.0)
        truth = drive.capture().truth
        started = time.process_time()
        asked += len(ask(truth, rig, np.random.default_rng(seed), 8))
        spent += time.process_time() - started
    return 1e3 * spent / asked


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drives", type=int, default=20)
    parser.add_argument("--json", type=Path, default=Path("out/simulator.json"))
    arguments = parser.parse_args()
    whole = load_rig("nuscenes")
    rigs = {
        "six cameras, lidar, IMU": whole,
        "six cameras": dataclasses.replace(whole, lidar=None, imu=None),
        "one camera": dataclasses.replace(whole, cameras=whole.cameras[:1], lidar=None, imu=None),
        "lidar": dataclasses.replace(whole, cameras=(), imu=None),
        "IMU": dataclasses.replace(whole, cameras=(), lidar=None),
    }
    report = {name: frame_ms(rig, arguments.drives) for name, rig in rigs.items()}
    minutes = report["six cameras, lidar, IMU"] * TRAINING_FRAMES / 2 / 60e3
    report |= {"a question": question_ms(whole, arguments.drives), "minutes for 20,000 frames on two cores": minutes}
    console = Console()
    for name, value in report.items():
        console.print(f"{name}: {value:.1f}" + (" ms" if "minutes" not in name else ""))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
