# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a robot has learned, on disk: lessons, trainings under way, the weights that serve. A change is whole or not at all.

STATE/lessons/             the replay buffer
STATE/training/            checkpoints of trainings that were cut off
STATE/revisions/<number>/  model folders: connectors and config.json; LLM and encoders are links
STATE/serving              link to the one that serves; where it is missing, the model that ships serves
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..datatypes import BadInput
from ..latent.checkpoint import model_revision
from ..model import Model
from .replay_buffer import CAPACITY, ReplayBuffer

KEPT = 3
"""Revisions that stay on disk, the newest ones."""


class State:
    """The state of one robot for one model folder.

    `folder` empty means $XDG_STATE_HOME/mmllm_ros, or ~/.local/state/mmllm_ros. `robot` keeps robots on one machine apart.
    """

    def __init__(self, folder: str | Path, base: Path, robot: str = "", capacity: int = CAPACITY) -> None:
        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "mmllm_ros"
        self.base = base
        self.folder = Path(folder or home) / robot.strip("/") / f"{base.resolve().name}-{model_revision(base)}"
        self.lessons = ReplayBuffer(self.folder / "lessons", capacity)
        self.training = self.folder / "training"
        self._link = self.folder / "serving"

    def serving(self) -> Path:
        """The model folder that serves."""
        return self._link.resolve() if self._link.is_dir() else self.base

    def swap_in(self, model: Model) -> Path:
        """Write `model` and let it serve from the next start on. Raises BadInput; then the old one serves on."""
        revisions = self.folder / "revisions"
        try:
            revisions.mkdir(parents=True, exist_ok=True)
            numbers = sorted(int(path.name) for path in revisions.iterdir() if path.name.isdecimal())
            number = numbers[-1] + 1 if numbers else 1
            part, whole, link = revisions / "part", revisions / f"{number:06d}", self.folder / "serving.part"
            shutil.rmtree(part, ignore_errors=True)
            model.save(part, link=True)
            for path in part.glob("*.*"):
                _to_disk(path)
            part.rename(whole)
            link.unlink(missing_ok=True)
            link.symlink_to(whole.relative_to(self.folder))
            link.replace(self._link)
            _to_disk(self.folder)
            for old in numbers[: 1 - KEPT]:
                shutil.rmtree(revisions / f"{old:06d}", ignore_errors=True)
        except OSError as error:
            raise BadInput(f"the new weights were not written, the old ones serve on: {error}") from error
        return whole

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Only one training at a time may write here. Raises BadInput where another one runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BadInput(f"another adaptation is running in {self.folder}") from error
            yield


def _to_disk(path: Path) -> None:
    """What was written must outlast a power cut before a link names it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
