# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the tokens of the universal encoder show of each kind of signal, and those of encoders made for one sensor.

    python benchmark/universal_specialists.py --work out/universal --specialists models/drive_smollm2 --json out/specialists.json

All encoders stay frozen. The same small head, without an LLM, learns the questions about each kind of signal from the tokens of
the training moments. Accuracy is balanced as in benchmark/universal.py, on test scenes; "blind" is always the same answer. The
encoders of the folder `--specialists`, camera, lidar and IMU, read the same moments. Times are medians of 50 calls on one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional
from universal import Score, score

from mmllm_ros.datatypes import NANOSECONDS, CameraFrame, Frame, ImuWindow, LidarScan, Signal
from mmllm_ros.encoders import load_encoder
from mmllm_ros.encoders.base import Encoder
from mmllm_ros.encoders.universal.encoder import LAYOUTS
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.signal_moment import CLIP_PERIOD, SignalMoment, render_moment
from mmllm_ros.training.universal.alignment import UNKNOWN, Labels, templates_of
from mmllm_ros.training.universal.moments import render_all
from mmllm_ros.training.universal.questions import Asked, tokens_of
from mmllm_ros.training.universal.stages import ENCODER, load_all
from mmllm_ros.training.universal.targets import TEMPLATES

SENSORS = {"image": "camera", "points": "lidar", "imu": "imu"}
"""Which specialist reads what a modality of the universal encoder reads."""
WIDTH, STEPS, BATCH, RATE = 96, 400, 128, 2e-3
"""Of the heads."""
TIMED = 50
RIG = "front"
STAMP = 10 * NANOSECONDS


def frames_of(moment: SignalMoment, modality: str) -> tuple[Frame, Frame | None]:
    """What the specialist of a modality gets: the frame and, for the camera, the one before it."""
    if modality == "image":
        now, before = (np.ascontiguousarray(picture.transpose(1, 2, 0)) for picture in moment.signals["video"][[-1, -2]])
        earlier = CameraFrame(STAMP - round(CLIP_PERIOD * NANOSECONDS), "front", before)
        return CameraFrame(STAMP, "front", now), earlier
    if modality == "points":
        return LidarScan(STAMP, "lidar", moment.signals["points"]), None
    samples = moment.signals["imu"]
    times = STAMP - np.arange(len(samples))[::-1] * (NANOSECONDS // len(samples))
    return ImuWindow(STAMP, "imu", times.astype(np.int64), samples), None


def numbers_of(values: Tensor, places: Tensor) -> Tensor:
    """Values [N, T, D] and places [N, T, 3] as one tensor [N, T, D + 4] that a head reads."""
    bearing, elevation, distance = places.unbind(-1)
    return torch.cat([values, torch.stack([bearing.sin(), bearing.cos(), elevation, distance.log1p()], -1)], -1)


def specialist_tokens(encoders: Mapping[str, Encoder], split: str, first: int, count: int) -> dict[str, Tensor]:
    """The tokens of scenes `first` to `first + count` by modality, as `numbers_of` gives them."""
    found = {modality: [] for modality in encoders}
    for number in track(range(first, first + count), f"{split} scenes for the specialists"):
        moment = render_moment(split, number)
        for modality, encoder in encoders.items():
            tokens = encoder.encode([frames_of(moment, modality)])[0]
            found[modality].append((torch.from_numpy(tokens.values), torch.from_numpy(tokens.places)))
    return {modality: numbers_of(*(torch.stack(part) for part in zip(*rows))) for modality, rows in found.items()}


class Head(nn.Module):
    """Tokens [B, T, D] -> logits [B, templates, answers]: each kind of question weighs the tokens by its own query."""

    def __init__(self, tokens: Tensor, answers: list[int]) -> None:
        super().__init__()
        flat = tokens.flatten(0, 1)
        self.register_buffer("mean", flat.mean(0))
        self.register_buffer("scale", flat.std(0).clamp(min=1e-3))
        self.read = nn.Sequential(nn.Linear(tokens.shape[-1], WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.look = nn.Parameter(torch.randn(len(answers), WIDTH) / WIDTH**0.5)
        self.answer = nn.Parameter(torch.zeros(len(answers), max(answers), WIDTH))
        self.register_buffer("beyond", torch.arange(max(answers))[None] >= torch.tensor(answers)[:, None])

    def forward(self, tokens: Tensor) -> Tensor:
        read = self.read((tokens - self.mean) / self.scale)
        share = torch.einsum("btw,qw->bqt", read, self.look).softmax(-1)
        return torch.einsum("bqw,qaw->bqa", share @ read, self.answer).masked_fill(self.beyond, -torch.inf)


def trained_head(tokens: Tensor, labels: Labels, templates: list[int]) -> Head:
    """A head that was trained on `tokens` [N, T, D] of the moments of `labels`."""
    torch.manual_seed(0)
    head = Head(tokens, [len(labels.names[template]) for template in templates])
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    wanted, weights = labels.plain[:, templates], labels.weights[templates]
    for _ in range(STEPS):
        rows = torch.randint(len(tokens), (BATCH,))
        logits, target = head(tokens[rows]), wanted[rows]
        row, column = (target != UNKNOWN).nonzero(as_tuple=True)
        weight = weights[column, target[row, column]]
        each = functional.cross_entropy(logits[row, column], target[row, column], reduction="none")
        optimizer.zero_grad()
        ((each * weight).sum() / weight.sum()).backward()
        optimizer.step()
        schedule.step()
    return head


@torch.inference_mode()
def accuracy(head: Head, tokens: Tensor, labels: Labels, templates: list[int]) -> tuple[Score, dict[str, Score]]:
    """Of all questions and by kind of question."""
    guesses = head(tokens).argmax(-1)
    asked, right = [], []
    for column, template in enumerate(templates):
        for row, answer in enumerate(labels.plain[:, template].tolist()):
            if answer != UNKNOWN:
                asked.append(Asked(row, template, "", labels.names[template][answer]))
                right.append(float(guesses[row, column] == answer))
    kinds = {}
    for template in templates:
        own = [place for place, one in enumerate(asked) if one.template == template]
        kinds[TEMPLATES[template]] = score([asked[place] for place in own], np.array(right)[own])
    return score(asked, np.array(right)), kinds


def milliseconds(encode: Callable[[], object]) -> float:
    """Median time of TIMED calls."""
    spent = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        encode()
        spent.append(time.perf_counter() - begun)
    return 1000 * float(np.median(spent))


def megabytes(module: nn.Module) -> float:
    return sum(value.numel() * value.element_size() for value in module.parameters()) / 1e6


def main() -> None:
    """Render, encode, train the heads, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/universal"))
    parser.add_argument("--specialists", type=Path, help="model folder with encoders of camera, lidar and IMU")
    parser.add_argument("--work", type=Path, required=True, help="folder for rendered moments")
    parser.add_argument("--train", type=int, nargs=2, default=(0, 600), metavar=("FIRST", "SCENES"))
    parser.add_argument("--scenes", type=int, default=150, help="test scenes")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rig = load_rig(RIG)
    universal = load_encoder(arguments.model / "encoders" / ENCODER, rig, "cpu")
    ranges = {"train": arguments.train, "test": (0, arguments.scenes)}
    moments = {name: load_all(render_all(arguments.work / "moments", name, *part, LAYOUTS)) for name, part in ranges.items()}
    labels = Labels.of(moments["train"].answers)
    held = Labels.of(moments["test"].answers, labels.names)
    tables = {name: tokens_of(universal, part, flip=False) for name, part in moments.items()}
    read: dict[tuple[str, str], dict[str, Tensor]] = {}
    for modality in universal.modalities:
        read[modality, "universal"] = {
            name: numbers_of(table[modality].values.float(), table[modality].places) for name, table in tables.items()
        }
    moment = render_moment("test", 0)
    signals = {modality: Signal(modality, STAMP, "simulated", moment.signals[modality]) for modality in universal.modalities}
    timed = {(m, "universal"): partial(universal.encode, [signal]) for m, signal in signals.items()}
    sizes = dict.fromkeys(timed, megabytes(universal))
    if arguments.specialists:
        encoders = {m: load_encoder(arguments.specialists / "encoders" / name, rig, "cpu") for m, name in SENSORS.items()}
        found = {name: specialist_tokens(encoders, name, *part) for name, part in ranges.items()}
        for modality, encoder in encoders.items():
            own = modality, SENSORS[modality]
            read[own] = {name: part[modality] for name, part in found.items()}
            timed[own] = partial(encoder.encode, [frames_of(moment, modality)])
            sizes[own] = megabytes(encoder)
    table = Table("signal", "encoder", "blind", "accuracy", "encode, ms", "weights, MB")
    rows = []
    for (modality, name), part in sorted(read.items(), key=lambda item: (list(signals).index(item[0][0]), item[0][1])):
        templates = [n for n in templates_of(modality) if (held.plain[:, n] != UNKNOWN).any()]
        blind = float(np.mean([1 / len(labels.names[n]) for n in templates]))
        whole, kinds = accuracy(trained_head(part["train"], labels, templates), part["test"], held, templates)
        spent, size = milliseconds(timed[modality, name]), sizes[modality, name]
        rows.append(
            {"modality": modality, "encoder": name, "blind": blind, **asdict(whole), "encode_ms": spent, "weights_mb": size}
        )
        rows[-1]["by kind"] = {kind: asdict(one) for kind, one in kinds.items()}
        shown = f"{whole.accuracy:.1%} ({whole.low:.1%} to {whole.high:.1%})"
        table.add_row(modality, name, f"{blind:.1%}", shown, f"{spent:.0f}", f"{size:.1f}")
    Console(width=130).print(table)
    mean = {key: np.mean([row[key] for row in rows if row["encoder"] == "universal"]) for key in ("accuracy", "blind")}
    print(f"universal, mean of the modalities: {mean['accuracy']:.1%}, blind {mean['blind']:.1%}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({**ranges, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
