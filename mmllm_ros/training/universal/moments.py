# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered moments on disk: the tensors of all kinds of signals, targets of the tokens, answers. Shards of PER_SHARD moments."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...datatypes import Signal
from ...encoders.universal.signals import Layout
from ...simulator.signal_moment import AHEAD, FOV, render_moment
from .targets import TEMPLATES, answers_of, sector_targets

PER_SHARD = 50
VIEWS = {True: (0.0, FOV), False: (0.0, 6.2831853)}
"""Bearing and field of view [rad] of signals of the camera's view, and of all directions."""


@dataclass
class Moments:
    """N moments. `tensors` [N, ...] by modality, in compact types; `targets` [N, ...] by name; `answers` [N][TEMPLATES]."""

    tensors: dict[str, Tensor]
    targets: dict[str, Tensor]
    answers: list[list[str | None]]

    def __len__(self) -> int:
        return len(self.answers)

    def batch(self, modality: str, rows: Tensor) -> Tensor:
        """The tensors of some moments as `Layout.to_tensor` gives them."""
        part = self.tensors[modality][rows]
        return part.float() / 127.5 - 1.0 if part.dtype == torch.uint8 else part.float()

    def view(self, modality: str, rows: Tensor) -> Tensor:
        """Bearing and field of view [B, 2] of these signals."""
        return torch.tensor(VIEWS[modality in AHEAD]).expand(len(rows), -1)


def render_all(folder: Path, split: str, first: int, count: int, layouts: dict[str, Layout], progress=print) -> list[Path]:
    """Render scenes `first` to `first + count` of `split` into shards; those that are there stay. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for start in range(first, first + count, PER_SHARD):
        path = folder / f"{split}-{start:06d}.safetensors"
        if not path.is_file():
            _render_shard(path, split, range(start, min(start + PER_SHARD, first + count)), layouts)
            progress(f"{path.name} rendered")
        paths.append(path)
    return paths


def _render_shard(path: Path, split: str, numbers: range, layouts: dict[str, Layout]) -> None:
    rows: list[dict[str, Tensor]] = []
    answers = []
    for number in numbers:
        moment = render_moment(split, number)
        row = {}
        for modality, layout in layouts.items():
            tensor = layout.to_tensor(Signal(modality, 0, "simulated", moment.signals[modality]))
            pixels = layout.kind in ("image", "video")
            row[modality] = ((tensor + 1.0) * 127.5).round().to(torch.uint8) if pixels else tensor.half()
        row |= {f"target.{name}": torch.from_numpy(np.asarray(value)) for name, value in sector_targets(moment).items()}
        rows.append(row)
        answers.append(answers_of(moment.truth))
    part = path.with_suffix(".part")
    columns = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    save_file(columns, part, metadata={"answers": json.dumps(answers), "templates": json.dumps(TEMPLATES)})
    part.rename(path)


def read_moments(paths: Iterable[Path], modalities: Iterable[str]) -> Moments:
    """The moments of some shards."""
    from safetensors import safe_open

    columns: dict[str, list[Tensor]] = {}
    answers: list[list[str | None]] = []
    for path in paths:
        state = load_file(path)
        for name, value in state.items():
            if name.startswith("target.") or name in modalities:
                columns.setdefault(name, []).append(value)
        with safe_open(path, "pt") as file:
            answers += json.loads(file.metadata()["answers"])
    whole = {name: torch.cat(parts) for name, parts in columns.items()}
    targets = {name.removeprefix("target."): value for name, value in whole.items() if name.startswith("target.")}
    return Moments({name: value for name, value in whole.items() if name in modalities}, targets, answers)
