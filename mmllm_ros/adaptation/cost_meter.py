# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cost of a training so far: seconds of computation, floating point operations, peak resident memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

from ..metrics.flops import count_flops

Result = TypeVar("Result")
MEGABYTE = 1e6


@dataclass
class CostMeter:
    """Counts seconds and operations from its construction on, in addition to those of an earlier part of the same training."""

    spent: float = 0.0
    flops: float = 0.0
    _started: float = field(default_factory=time.perf_counter, init=False)

    def __post_init__(self) -> None:
        # The kernel's high-water mark covers the whole life of a process; writing 5 resets it, where the kernel permits.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    @property
    def seconds(self) -> float:
        """Time spent [s], without pauses."""
        return self.spent + time.perf_counter() - self._started

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time within this context is not counted; progress callbacks run in it."""
        self.spent = self.seconds
        try:
            yield
        finally:
            self._started = time.perf_counter()

    def counted(self, work: Callable[[], Result]) -> Result:
        """Call `work`, add its operations, and return its result."""
        results: list[Result] = []
        self.flops += count_flops(lambda: results.append(work()))
        return results[0]


def resident_mb() -> float:
    """Resident memory of this process now [MB]."""
    return psutil.Process().memory_info().rss / MEGABYTE


def peak_mb() -> float:
    """Peak resident memory of this process since the newest CostMeter was made [MB]; 0 where the system does not report it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MEGABYTE
    return 0.0
