# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered shards, read back as tensors: any frame by number, memory-mapped, with the frame half a second before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..rig import Rig
from ..simulator.truth import SceneTruth


class Shards:
    """All frames of some shards, numbered through.

    Args:
        folders: shards written by `render.render_shard`.
        rig: the rig that they were rendered with; its mounts go with the tensors.
    """

    def __init__(self, folders: Sequence[Path], rig: Rig) -> None:
        self.folders, self.rig = list(folders), rig
        self._previous = [np.load(folder / "previous.npy") for folder in self.folders]
        self._maps: dict[str, list[np.ndarray]] = {}
        self._starts = np.cumsum([0, *(len(part) for part in self._previous)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def truths(self) -> list[SceneTruth]:
        """The truth of every frame."""
        return [SceneTruth.from_json(json.loads(line)) for folder in self.folders for line in (folder / "truth.jsonl").open()]

    def camera(self, frames: np.ndarray, views: np.ndarray, alone: np.ndarray) -> dict[str, Tensor]:
        """`CameraEncoder` inputs of view `views[i]` of frame `frames[i]`; without the older frame where `alone[i]`."""
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
        return {"now": torch.from_numpy(np.stack([self._row("imu", frame) for frame in frames]))}

    def _pairs(self, name: str, frames: np.ndarray, alone: np.ndarray, views: np.ndarray | None = None) -> dict[str, Tensor]:
        before = np.where(alone, frames, self._before(frames))

        def stack(numbers: np.ndarray) -> Tensor:
            rows = [self._row(name, number) for number in numbers]
            return torch.from_numpy(np.stack(rows if views is None else [r[v] for r, v in zip(rows, views, strict=True)]))

        gap = torch.from_numpy(np.where(before == frames, 0.0, 0.5)).float()
        return {"now": stack(frames), "before": stack(before), "gap": gap}

    def _before(self, frames: np.ndarray) -> np.ndarray:
        shard = np.searchsorted(self._starts, frames, side="right") - 1
        return np.array([self._previous[s][f - self._starts[s]] + self._starts[s] for s, f in zip(shard, frames, strict=True)])

    def _row(self, name: str, frame: int) -> np.ndarray:
        if name not in self._maps:
            self._maps[name] = [np.load(folder / f"{name}.npy", mmap_mode="r") for folder in self.folders]
        shard = int(np.searchsorted(self._starts, frame, side="right")) - 1
        return self._maps[name][shard][frame - self._starts[shard]]
