# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a training has cost so far: seconds of its own work, floating point operations, peak resident memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

from ..metrics.flops import counted

Result = TypeVar("Result")
MEGABYTE = 1e6


@dataclass
class Meter:
    """Counts from the moment it is made, on top of what an earlier part of the same training has spent."""

    spent: float = 0.0
    flops: float = 0.0
    _started: float = field(default_factory=time.perf_counter, init=False)

    def __post_init__(self) -> None:
        # The kernel's high-water mark counts the whole life of a process; this starts it anew, where the kernel permits.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    @property
    def seconds(self) -> float:
        """Time spent [s], pauses left out."""
        return self.spent + time.perf_counter() - self._started

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens in this context is not counted: others look at the training, it does not work."""
        self.spent = self.seconds
        try:
            yield
        finally:
            self._started = time.perf_counter()

    def counted(self, work: Callable[[], Result]) -> Result:
        """Do `work` and add its operations."""
        results: list[Result] = []
        self.flops += counted(lambda: results.append(work()))
        return results[0]


def resident_mb() -> float:
    """Resident memory of this process now [MB]."""
    return psutil.Process().memory_info().rss / MEGABYTE


def peak_mb() -> float:
    """Highest resident memory of this process since the newest Meter was made [MB]; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MEGABYTE
    return 0.0
