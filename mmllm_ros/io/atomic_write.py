# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are written under a temporary name and renamed when complete, so that no reader finds half of one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces `path` at the end of the block, and is removed where the block raises."""
    part = _part(path)
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new temporary folder to fill; it is renamed to `path`, which must not exist, at the end of the block.

    A block that raises leaves its folder behind; the next call for the same `path` empties it.
    """
    part = _part(path)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    part.rename(path)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")
