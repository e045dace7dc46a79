# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fits config/blind_baseline.json: the text-only model that the simulator balances the answers of its questions against.

Run it again when the world or the templates change: `python -m mmllm_ros.training.answer_balance --drives 150`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..resources import shared_folder
from ..rig import Rig, load_rig
from ..simulator.drive import Drive
from ..simulator.questions.answer_balance import BlindBaseline
from ..simulator.questions.question_maker import ask
from ..simulator.truth import SceneTruth

FIRST_SEED = 900_000
"""Outside the seeds of all splits."""
_LEAST_WEIGHT = 0.02
_RATES = (0.05, 0.02, 0.005)


def truths(rig: Rig, drives: int) -> Iterator[SceneTruth]:
    """Four frames of each of so many drives."""
    for seed in range(FIRST_SEED, FIRST_SEED + drives):
        drive = Drive(seed, rig)
        for _ in range(4):
            drive.advance(2.0)
            yield drive.capture().truth


def learn(scenes: Iterable[tuple[SceneTruth, Rig]], baseline: BlindBaseline, per_scene: int = 20) -> None:
    """Ask about the scenes in random order, in several passes of decreasing learning rate, which fits the baseline."""
    rng, scenes = np.random.default_rng(FIRST_SEED), list(scenes)
    for rate in _RATES:
        baseline.rate = rate
        for index in rng.permutation(len(scenes)):
            ask(*scenes[index], rng, per_scene, baseline=baseline)


def write(baseline: BlindBaseline, path: Path) -> None:
    """Write the weights that are not negligible, with two decimals."""
    kept = {
        template: {
            word: {answer: round(weight, 2) for answer, weight in row.items() if abs(weight) >= _LEAST_WEIGHT or not word}
            for word, row in table.items()
        }
        for template, table in baseline.weights.items()
    }
    small = {template: {word: row for word, row in table.items() if row} for template, table in kept.items()}
    path.write_text(json.dumps(small, separators=(",", ":"), sort_keys=True) + "\n")


def main() -> None:
    """Simulate, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drives", type=int, default=150, help="drives with each of the rigs front and nuscenes")
    arguments = parser.parse_args()
    rigs = [load_rig(name) for name in ("front", "nuscenes")]
    baseline = BlindBaseline()
    learn([(truth, rig) for rig in rigs for truth in truths(rig, arguments.drives)], baseline)
    write(baseline, shared_folder() / "config" / "blind_baseline.json")


if __name__ == "__main__":
    main()
