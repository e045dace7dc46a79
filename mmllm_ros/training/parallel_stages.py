# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the encoders and the LLM, which do not depend on each other, in parallel processes.

The output of each process goes to a log in the work folder; the progress bars follow the curves that it writes.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

POLL_PERIOD = 2.0


def side_by_side(parts: Mapping[str, Callable[[], None]], steps: Mapping[str, int], work: Path) -> None:
    """Call each of `parts`, which must be picklable, in at most as many processes as there are cores; the first error is raised.

    `steps` gives the stages that write curves into `work`, and the number of steps of each.
    """
    cores = os.cpu_count() or 1
    workers = min(cores, len(parts))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (max(1, cores // workers),))
    with Progress(*columns) as progress, pool:
        bars = {stage: progress.add_task(stage, total=count) for stage, count in steps.items() if count}
        running = {pool.submit(_logged, work / f"{name}.log", part) for name, part in parts.items()}
        while running:
            done, running = wait(running, POLL_PERIOD, FIRST_EXCEPTION)
            for stage, bar in bars.items():
                progress.update(bar, completed=_written(work / f"{stage}.csv"))
            for part in done:
                if part.exception() is not None:
                    pool.shutdown(wait=False, cancel_futures=True)
                part.result()


def _logged(path: Path, part: Callable[[], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as log, contextlib.redirect_stdout(log):
        log.write(time.strftime("%F %T\n"))
        part()


def _written(path: Path) -> int:
    """Number of steps in a curve file."""
    return max(0, path.read_text().count("\n") - 1) if path.is_file() else 0
