# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered shards as tensors: any frame by number, memory-mapped, with the frame half a second before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..datatypes import FRAME_GAP, BadInput
from ..rig import Rig
from ..simulator.truth import SceneTruth


class Shards:
    """The frames of some shards that have a previous frame half a second before them, in one numbering.

    Live sensors have a previous frame except at their start; motion cannot be estimated without it.

    Args:
        folders: shards written by `render.render_shard`.
        rig: the rig that they were rendered with; its mounts are part of the tensors.

    Reading images raises BadInput where a shard has another number of cameras than `rig`.
    """

    def __init__(self, folders: Sequence[Path], rig: Rig) -> None:
        self.folders, self.rig = list(folders), rig
        previous = [np.load(folder / "previous.npy") for folder in self.folders]
        self._maps: dict[str, list[np.ndarray]] = {}
        self._starts = np.cumsum([0, *(len(part) for part in previous)])
        before = np.concatenate([part + start for part, start in zip(previous, self._starts)] or [np.zeros(0, int)])
        self._rows = np.flatnonzero(before != np.arange(len(before)))
        self._before = before[self._rows]

    @property
    def span(self) -> str:
        """First and last shard, for file names."""
        return f"{self.folders[0].name}-{self.folders[-1].name}"

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def truths(self) -> list[SceneTruth]:
        """The truth of every frame."""
        lines = [line for folder in self.folders for line in (folder / "truth.jsonl").read_text().splitlines()]
        return [SceneTruth.from_json(json.loads(lines[row])) for row in self._rows]

    def inputs(self, modality: str, frames: np.ndarray, alone: bool = False) -> dict[str, Tensor]:
        """Inputs of the encoder of `modality` for `frames`, views of a frame in order; with `alone` without previous frames."""
        if modality == "imu":
            return self.imu(frames)
        if modality == "lidar":
            return self.lidar(frames, np.full(len(frames), alone))
        views = len(self.rig.cameras)
        repeated = np.repeat(frames, views)
        return self.camera(repeated, np.tile(np.arange(views), len(frames)), np.full(len(repeated), alone))

    def camera(self, frames: np.ndarray, views: np.ndarray, alone: np.ndarray) -> dict[str, Tensor]:
        """`CameraEncoder` inputs of view `views[i]` of frame `frames[i]`; without the previous frame where `alone[i]`."""
        batch = self._pairs("camera", frames, alone, views)
        mounts = [self.rig.cameras[view] for view in views]
        batch["mount"] = torch.tensor([[m.bearing, m.fov, m.pitch, *m.position] for m in mounts], dtype=torch.float32)
        return batch

    def lidar(self, frames: np.ndarray, alone: np.ndarray) -> dict[str, Tensor]:
        """`LidarEncoder` inputs of `frames`."""
        batch = self._pairs("lidar", frames, alone)
        mount = self.rig.lidar
        row = torch.tensor([mount.fov_up, mount.fov_down, *mount.position], dtype=torch.float32)
        batch["mount"] = row.expand(len(frames), -1)
        return batch

    def imu(self, frames: np.ndarray) -> dict[str, Tensor]:
        """`ImuEncoder` inputs of `frames`."""
        return {"now": torch.as_tensor(np.stack([self._row("imu", row) for row in self._rows[frames]]))}

    def _pairs(self, name: str, frames: np.ndarray, alone: np.ndarray, views: np.ndarray | None = None) -> dict[str, Tensor]:
        now = self._rows[frames]
        before = np.where(alone, now, self._before[frames])

        def stack(numbers: np.ndarray) -> Tensor:
            rows = [self._row(name, number) for number in numbers]
            return torch.as_tensor(np.stack(rows if views is None else [r[v] for r, v in zip(rows, views, strict=True)]))

        gap = torch.as_tensor(np.where(alone, 0.0, FRAME_GAP)).float()
        return {"now": stack(now), "before": stack(before), "gap": gap}

    def _row(self, name: str, row: int) -> np.ndarray:
        if name not in self._maps:
            self._maps[name] = [np.load(folder / f"{name}.npy", mmap_mode="r") for folder in self.folders]
            for folder, array in zip(self.folders, self._maps[name], strict=True):
                if name == "camera" and array.shape[1] != len(self.rig.cameras):
                    raise BadInput(
                        f"{folder} has frames of {array.shape[1]} cameras, the rig has {len(self.rig.cameras)}: clear it"
                    )
        shard = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._maps[name][shard][row - self._starts[shard]]
