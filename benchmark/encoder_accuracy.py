# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of the encoders' predicted attributes at object positions, on held-out drives, with and without the previous frame.

    python benchmark/encoder_accuracy.py --json out/encoder_accuracy.json
    python benchmark/encoder_accuracy.py --trained-on out/train/frames/00000    # also on a shard of the training set

If motion is predicted no better with the previous frame than without, the encoder does not use it. A much higher accuracy on the
training set is overfitting.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mmllm_ros.encoders import CameraEncoder, LidarEncoder, load_encoder
from mmllm_ros.encoders.proposals import DISTRIBUTIONS, STATUSES
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig
from mmllm_ros.training.render import FRAMES_PER_SHARD, render
from mmllm_ros.training.shards import Shards
from mmllm_ros.training.targets import cell_targets

FIRST_SCENE = 100_000
"""First scene of the validation split that neither calibration nor plan tables use."""


@torch.inference_mode()
def attribute_accuracy(encoder: CameraEncoder | LidarEncoder, shards: Shards, alone: bool) -> dict[str, float]:
    """Shares of objects with the right attribute at their centres: by group, and the statuses `moving` and `stopped`."""
    right: dict[str, list[bool]] = {group: [] for group in (*DISTRIBUTIONS, "moving", "stopped")}
    for frame, truth in enumerate(shards.truths):
        _, outputs = encoder.proposals.read(encoder.cells(shards.inputs(encoder.modality, np.array([frame]), alone)))
        for view, targets in enumerate(cell_targets(truth, encoder)):
            for group in DISTRIBUTIONS:
                cells, labels = targets.at_centres(group)
                hit = outputs[group][view, cells].argmax(-1).numpy() == labels
                right[group] += hit.tolist()
                for name in ("moving", "stopped") if group == "status" else ():
                    right[name] += hit[labels == STATUSES.index(name)].tolist()
    silent = encoder.proposals.unobservable
    return {"objects": len(right["class"]), **{k: float(np.mean(v)) for k, v in right.items() if v and k not in silent}}


def main() -> None:
    """Render, predict, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--rig", default="nuscenes")
    parser.add_argument("--shards", type=int, default=3, help="of 25 drives each")
    parser.add_argument("--trained-on", type=Path, nargs="*", default=[], help="shards of a training set, for comparison")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rig, rows = load_rig(arguments.rig), []
    with tempfile.TemporaryDirectory() as folder:
        frames = arguments.shards * FRAMES_PER_SHARD
        fresh = render(Path(folder), frames, arguments.rig, split="val", first_scene=FIRST_SCENE)
        for modality in ("lidar", "camera"):
            encoder = load_encoder(arguments.model / "encoders" / modality, rig, "cpu")
            cases = [("held out", fresh, False), ("held out, no previous frame", fresh, True)]
            for name, shards, alone in cases + [("training set", arguments.trained_on, False)] * bool(arguments.trained_on):
                rows.append({"encoder": modality, "frames": name, **attribute_accuracy(encoder, Shards(shards, rig), alone)})
    table = Table(*rows[-1])
    for row in rows:
        table.add_row(*(f"{100 * v:.0f} %" if isinstance(v, float) else str(v) for v in (row.get(key, "") for key in rows[-1])))
    Console().print(table)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
