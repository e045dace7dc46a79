# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How busy this machine is, and how much of that is this package: processor, memory, GPU and temperatures where readable."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import psutil

MEBIBYTE = 2**20

MEMORY_LIMIT = 92.0
"""Memory in use [%] above which weights of disconnected encoders are freed."""

SEARCH_PERIOD = 5.0
"""Processes of this package are searched for so often [s]."""


class MachineLoad:
    """Readings of the machine and of this package's processes."""

    def __init__(self) -> None:
        psutil.cpu_percent()  # the next reading counts from here
        self._gpus = _gpus()
        self._own: dict[int, psutil.Process] = {}
        self._searched = -SEARCH_PERIOD
        self.own_cpu()

    def read(self) -> dict[str, float]:
        """The machine: "cpu", "memory" and "gpu memory" [%], the hottest "temperature" [degrees Celsius]; what is readable."""
        found = {"cpu": psutil.cpu_percent(), "memory": psutil.virtual_memory().percent}
        sensors = getattr(psutil, "sensors_temperatures", dict)()
        degrees = [float(item.current) for items in sensors.values() for item in items if item.current]
        for library, gpu in self._gpus:
            # A Jetson, a virtual GPU or a part of a GPU does not support every reading, and a GPU may be lost.
            with suppress(library.NVMLError):
                memory = library.nvmlDeviceGetMemoryInfo(gpu)
                found["gpu memory"] = max(found.get("gpu memory", 0.0), 100.0 * memory.used / memory.total)
            with suppress(library.NVMLError):
                degrees.append(float(library.nvmlDeviceGetTemperature(gpu, library.NVML_TEMPERATURE_GPU)))
        return {**found, "temperature": max(degrees)} if degrees else found

    def own_cpu(self) -> float:
        """CPU of this package's processes since the last call [% of one core]; a process found just now counts from now on."""
        now = time.monotonic()
        if now - self._searched >= SEARCH_PERIOD:
            self._searched = now
            found = {process.pid: process for process in psutil.process_iter() if _is_own(process)}
            self._own = {pid: self._own.get(pid, process) for pid, process in found.items()}
        total = 0.0
        for process in self._own.values():
            try:
                total += process.cpu_percent()
            except psutil.Error:
                continue  # it has ended since the search
        return total


def _is_own(process: psutil.Process) -> bool:
    """Whether a process is this one or runs a command or node of this package."""
    if process.pid == psutil.Process().pid:
        return True
    try:
        return runs_this_package(process.cmdline())
    except psutil.Error:
        return False


def runs_this_package(command: Sequence[str]) -> bool:
    """Whether a command line starts `mmllm`, `python -m mmllm_ros...` or an executable in `lib/mmllm_ros/`."""
    modules = [module for flag, module in pairwise(command) if flag == "-m"]
    if any(module.split(".")[0] == "mmllm_ros" for module in modules):
        return True
    return any("/lib/mmllm_ros/" in part or part.rpartition("/")[2] == "mmllm" for part in command[:2])


def _gpus() -> list[tuple[Any, Any]]:
    """GPU handles of nvidia-ml-py, where it is installed and finds a driver."""
    if find_spec("pynvml") is None:
        return []
    import pynvml

    found = []
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            with suppress(pynvml.NVMLError):
                found.append((pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)))
    return found
