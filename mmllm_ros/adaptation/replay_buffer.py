# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The replay buffer: labelled samples on disk, one file each, written atomically, bounded in number."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..datatypes import BadInput, Tokens, one_line
from ..io.atomic_write import atomic_file
from .samples import LabelledSample

CAPACITY = 2000
"""Samples that are kept; one more replaces the oldest."""
LARGEST_FILE = 1 << 24


class ReplayBuffer:
    """Labelled samples in `folder`, oldest first. One thread adds; other processes may read."""

    def __init__(self, folder: Path, capacity: int = CAPACITY) -> None:
        self.folder = folder
        self.capacity = capacity

    def __len__(self) -> int:
        return len(self._paths())

    def add(self, sample: LabelledSample) -> None:
        """Keep `sample`. Raises BadInput where it cannot be written."""
        paths = self._paths()
        number = int(paths[-1].stem) + 1 if paths else 0
        arrays = {f"{name}.{i}": getattr(t, name) for i, t in enumerate(sample.tokens) for name in ("values", "places")}
        heads = [{"modality": t.modality, "source": t.source, "stamp": t.stamp, "encoder": t.encoder} for t in sample.tokens]
        label = {"question": sample.question, "answer": sample.answer, "scene": sample.scene, "teachers": sample.teachers}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.folder / f"{number:09d}.safetensors") as part:
                save_file(arrays, part, {"sample": json.dumps({**label, "tokens": heads})})
            for path in paths[: max(0, len(paths) + 1 - self.capacity)]:
                path.unlink(missing_ok=True)
        except (OSError, SafetensorError) as error:
            raise BadInput(f"the sample was not stored: {one_line(error)}") from error

    def samples(self) -> list[LabelledSample]:
        """All samples that can be read; the others are skipped with a warning."""
        found = []
        for path in self._paths():
            try:
                found.append(_read(path))
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                logging.getLogger(__name__).warning("sample %s skipped: %s", path, one_line(error))
        return found

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.safetensors") if path.stem.isdecimal())


def _read(path: Path) -> LabelledSample:
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE} bytes")
    with safe_open(path, "np") as file:
        label = json.loads(file.metadata()["sample"])
        tokens = tuple(
            Tokens(**head, values=file.get_tensor(f"values.{i}"), places=file.get_tensor(f"places.{i}"))
            for i, head in enumerate(label.pop("tokens"))
        )
    return LabelledSample(**{**label, "teachers": tuple(label["teachers"])}, tokens=tokens)
