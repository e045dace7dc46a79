# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measures which tokens a model was trained on: `python -m mmllm_ros.training.familiarity --model models/drive_tiny`.

Writes MODEL/familiarity (encoders/familiarity.py) from simulated scenes of training, with the border set by test scenes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from ..datasets.examples import encode_pairs
from ..datasets.simulated import asked_drive
from ..encoders import Encoder, load_encoder
from ..encoders.familiarity import FOLDER, fitted, statistics
from ..rig import load_rig
from ..simulator.splits import scene_seed

FIRST = {"nuscenes": {"train": 800_000, "test": 500}, "front": {"train": 801_000, "test": 600}}
"""The number of the first scene of each split, by rig; no other stage uses these scenes of training."""
MODALITIES = ("lidar",)
"""Mean and spread of the camera's tokens are the same on real images, so they do not tell them from simulated ones."""


def measured(encoders: Mapping[str, Encoder], rig_name: str, split: str, scenes: int, first: int) -> dict[str, list[np.ndarray]]:
    """Statistics of the readings of each encoder's modality, a moment of each scene."""
    rig, found = load_rig(rig_name), defaultdict(list)
    for number in track(range(scenes), f"{split} scenes of rig {rig_name}"):
        before, now, _ = asked_drive(rig, split, scene_seed(split, first + number), each=1)
        kept = [[frame for frame in one.frames() if frame.modality in encoders] for one in (now, before)]
        for tokens in encode_pairs(encoders, *kept):
            found[tokens.modality].append(statistics(tokens))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--scenes", type=int, default=110, help="scenes of training for each rig")
    parser.add_argument("--held-out", type=int, default=25, help="scenes of the test for each rig, which set the border")
    options = parser.parse_args(arguments)
    rows: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for rig_name, first in FIRST.items():
        rig = load_rig(rig_name)
        encoders = {name: load_encoder(options.model / "encoders" / name, rig, "cpu") for name in MODALITIES}
        for split, count in (("train", options.scenes), ("test", options.held_out)):
            for name, found in measured(encoders, rig_name, split, count, first[split]).items():
                rows[name, split] += found
    (options.model / FOLDER).mkdir(exist_ok=True)
    for name in MODALITIES:
        path = options.model / FOLDER / f"{encoders[name].revision}.safetensors"
        known = fitted(np.stack(rows[name, "train"]), np.stack(rows[name, "test"]))
        known.save(path)
        print(f"{name}: border {known.border:.2f}, {path}")


if __name__ == "__main__":
    main()
