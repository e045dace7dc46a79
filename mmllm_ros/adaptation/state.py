# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The adaptation state of a robot on disk: samples, checkpoints, adapted weights. Every change is atomic.

STATE/samples/             the replay buffer
STATE/training/            checkpoints of interrupted trainings
STATE/revisions/<number>/  model folders: connectors and config.json; LLM and encoders are links
STATE/serving              link to the revision in use; where it is missing, the shipped model is used
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..datatypes import BadInput
from ..io.atomic_write import atomic_file, atomic_folder
from ..latent.checkpoint import model_revision
from ..model import Model
from .replay_buffer import CAPACITY, ReplayBuffer

KEPT = 3
"""The latest revisions that stay on disk."""


class AdaptationState:
    """The state of one robot for one model folder.

    `folder` empty means $XDG_STATE_HOME/mmllm_ros, or ~/.local/state/mmllm_ros. `robot` separates several robots on one machine.
    """

    def __init__(self, folder: str | Path, base: Path, robot: str = "", capacity: int = CAPACITY) -> None:
        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "mmllm_ros"
        self.base = base
        self.folder = Path(folder or home) / robot.strip("/") / f"{base.resolve().name}-{model_revision(base)}"
        self.replay_buffer = ReplayBuffer(self.folder / "samples", capacity)
        self.training = self.folder / "training"
        self._link = self.folder / "serving"

    def serving(self) -> Path:
        """The model folder in use."""
        return self._link.resolve() if self._link.is_dir() else self.base

    def swap_in(self, model: Model) -> Path:
        """Write `model` and use it from the next start on. Raises BadInput; the old one stays in use then."""
        revisions = self.folder / "revisions"
        try:
            revisions.mkdir(parents=True, exist_ok=True)
            numbers = sorted(int(path.name) for path in revisions.iterdir() if path.name.isdecimal())
            number = numbers[-1] + 1 if numbers else 1
            whole = revisions / f"{number:06d}"
            with atomic_folder(whole) as part:
                model.save(part, link=True)
                for path in part.glob("*.*"):
                    _to_disk(path)
            with atomic_file(self._link) as link:
                link.unlink(missing_ok=True)
                link.symlink_to(whole.relative_to(self.folder))
            _to_disk(self.folder)
            for old in numbers[: 1 - KEPT]:
                shutil.rmtree(revisions / f"{old:06d}", ignore_errors=True)
        except OSError as error:
            raise BadInput(f"the new weights were not written, the old ones stay in use: {error}") from error
        return whole

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of this state, so that one training at a time writes to it. Raises BadInput where another one runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BadInput(f"another adaptation is running in {self.folder}") from error
            yield


def _to_disk(path: Path) -> None:
    """Flush a file or folder to the disk before a link points to it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
