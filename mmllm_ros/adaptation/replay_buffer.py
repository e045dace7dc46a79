# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The replay buffer: lessons on disk, a file each, bounded in number, written whole or not at all, and kept over restarts."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..datatypes import BadInput, Tokens
from .samples import LabelledSample

CAPACITY = 2000
"""Lessons that are kept; one more replaces the oldest."""
LARGEST_FILE = 1 << 24


class ReplayBuffer:
    """Lessons in `folder`, oldest first. One thread adds; other processes may read."""

    def __init__(self, folder: Path, capacity: int = CAPACITY) -> None:
        self.folder = folder
        self.capacity = capacity

    def __len__(self) -> int:
        return len(self._paths())

    def add(self, lesson: LabelledSample) -> None:
        """Keep `lesson`. Raises BadInput where it cannot be written."""
        paths = self._paths()
        number = int(paths[-1].stem) + 1 if paths else 0
        arrays = {f"{name}.{i}": getattr(t, name) for i, t in enumerate(lesson.tokens) for name in ("values", "places")}
        heads = [{"modality": t.modality, "source": t.source, "stamp": t.stamp, "encoder": t.encoder} for t in lesson.tokens]
        told = {"question": lesson.question, "answer": lesson.answer, "scene": lesson.scene, "teachers": lesson.teachers}
        part = self.folder / "new.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(arrays, part, {"lesson": json.dumps({**told, "tokens": heads})})
            part.replace(self.folder / f"{number:09d}.safetensors")
            for path in paths[: max(0, len(paths) + 1 - self.capacity)]:
                path.unlink(missing_ok=True)
        except (OSError, SafetensorError) as error:
            part.unlink(missing_ok=True)
            raise BadInput(f"the lesson was not kept: {' '.join(str(error).split())[:200]}") from error

    def lessons(self) -> list[LabelledSample]:
        """All lessons that can be read; one that cannot is passed over, with a line."""
        found = []
        for path in self._paths():
            try:
                found.append(_read(path))
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                logging.getLogger(__name__).warning("lesson %s passed over: %s", path, " ".join(str(error).split())[:200])
        return found

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.safetensors") if path.stem.isdecimal())


def _read(path: Path) -> LabelledSample:
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE} bytes")
    with safe_open(path, "np") as file:
        told = json.loads(file.metadata()["lesson"])
        tokens = tuple(
            Tokens(**head, values=file.get_tensor(f"values.{i}"), places=file.get_tensor(f"places.{i}"))
            for i, head in enumerate(told.pop("tokens"))
        )
    return LabelledSample(**{**told, "teachers": tuple(told["teachers"])}, tokens=tokens)
