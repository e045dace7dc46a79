# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes that train one model, started by `torchrun`; without it these functions do nothing.

torchrun --nproc-per-node 2 -m mmllm_ros train --config FILE --out FOLDER --work FOLDER
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import torch
from torch import distributed


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """A process group of the processes that `torchrun` started."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """The number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def number() -> int:
    """The number of this process; process 0 writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def once(write: Callable[[], object]) -> None:
    """Call `write` in process 0; every process returns when it is done."""
    if number() == 0:
        write()
    wait_for_all()


def wait_for_all() -> None:
    """Return when every process has called this."""
    if count() > 1:
        distributed.barrier()


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """Run the block in process 0 first; the others run it afterwards and find its files."""
    if number() > 0:
        wait_for_all()
    yield
    if number() == 0:
        wait_for_all()
