# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage one: renders simulated drives into shards of sensor tensors with their truth, on all cores."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.progress import Progress

from ..datatypes import FRAME_GAP
from ..encoders import CameraEncoder, ImuEncoder, LidarEncoder
from ..io.atomic_write import atomic_folder
from ..rig import load_rig
from ..simulator.drive import Drive, Snapshot
from ..simulator.splits import scene_seed

FRAMES_PER_SHARD = 150
CHAINS = (2, 3)
"""Chains of frames of one drive, and frames of a chain, which are FRAME_GAP apart. A chain's first frame has no previous one."""
ONE_FRAME_EACH = (1, 2)
"""Chains for as many drives as possible: one frame of each, with its previous one."""
PAUSE = 3.0
"""Time before each chain [s]."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """One shard to render: `rig` by name, seeds from `first_seed` on, `chains` of each, contexts drawn by the simulator."""

    folder: Path
    rig: str
    first_seed: int
    context: str
    chains: tuple[int, int]

    @property
    def scenes(self) -> int:
        """Drives in the shard."""
        return FRAMES_PER_SHARD // (self.chains[0] * self.chains[1])


def render(
    folder: Path,
    frames: int,
    rig: str,
    context: str = "mixed",
    split: str = "train",
    first_scene: int = 0,
    chains: tuple[int, int] = CHAINS,
) -> list[Path]:
    """Render at least `frames` frames of `split`, from `first_scene` on, below `folder`; existing shards are kept.

    Returns the shards.
    """
    shards, scenes = -(-frames // FRAMES_PER_SHARD), FRAMES_PER_SHARD // (chains[0] * chains[1])
    jobs = [
        ShardJob(folder / f"{index:05d}", rig, scene_seed(split, first_scene + index * scenes), context, chains)
        for index in range(shards)
    ]
    missing = [job for job in jobs if not job.folder.is_dir()]
    if missing:
        # One thread per worker; the numerical libraries read this when a worker starts.
        os.environ["OMP_NUM_THREADS"] = "1"
        with Progress() as progress, ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            bar = progress.add_task("render", total=len(missing) * FRAMES_PER_SHARD)
            for done in as_completed([pool.submit(render_shard, job) for job in missing]):
                done.result()
                progress.advance(bar, FRAMES_PER_SHARD)
    return [job.folder for job in jobs]


def render_shard(job: ShardJob) -> None:
    """Write camera.npy, lidar.npy, imu.npy, previous.npy and truth.jsonl into the job's folder, atomically."""
    rig = load_rig(job.rig)
    encoders = CameraEncoder(rig), LidarEncoder(rig), ImuEncoder(rig)
    columns: dict[str, list[np.ndarray]] = {"camera": [], "lidar": [], "imu": []}
    previous: list[int] = []
    with atomic_folder(job.folder) as part, open(part / "truth.jsonl", "w") as truths:
        for seed in range(job.first_seed, job.first_seed + job.scenes):
            drive = Drive(seed, rig, job.context)
            for _ in range(job.chains[0]):
                drive.advance(PAUSE)
                for link in range(job.chains[1]):
                    drive.advance(FRAME_GAP)
                    snapshot = drive.capture()
                    previous.append(len(previous) - 1 if link else len(previous))
                    _append(columns, snapshot, *encoders)
                    truths.write(json.dumps(snapshot.truth.to_json()) + "\n")
        for name, rows in columns.items():
            np.save(part / f"{name}.npy", np.stack(rows))
        np.save(part / "previous.npy", np.array(previous))


def _append(columns: dict, snapshot: Snapshot, camera: CameraEncoder, lidar: LidarEncoder, imu: ImuEncoder) -> None:
    columns["camera"].append(np.stack([camera.to_tensor(frame).numpy() for frame in snapshot.cameras]))
    columns["lidar"].append(lidar.to_tensor(snapshot.lidar).numpy())
    columns["imu"].append(imu.to_tensor(snapshot.imu).numpy())
