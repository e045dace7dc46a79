# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Load of this machine: processor, memory, and GPU memory and temperatures where they can be read."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import psutil

MEBIBYTE = 2**20


class MachineLoad:
    """Reads the load; the keys are those of load_shedding.LIMITS."""

    def __init__(self) -> None:
        psutil.cpu_percent()  # the next call measures from here
        self._gpus = _gpus()

    def read(self) -> dict[str, float]:
        """Processor and memories in percent, the hottest temperature in degrees Celsius."""
        found = {"cpu": psutil.cpu_percent(), "memory": psutil.virtual_memory().percent}
        sensors = getattr(psutil, "sensors_temperatures", dict)()
        degrees = [float(item.current) for items in sensors.values() for item in items if item.current]
        for library, gpu in self._gpus:
            memory = library.nvmlDeviceGetMemoryInfo(gpu)
            found["gpu memory"] = max(found.get("gpu memory", 0.0), 100.0 * memory.used / memory.total)
            degrees.append(float(library.nvmlDeviceGetTemperature(gpu, library.NVML_TEMPERATURE_GPU)))
        return {**found, "temperature": max(degrees)} if degrees else found


def _gpus() -> list[tuple[Any, Any]]:
    """GPU handles of nvidia-ml-py, where it is installed and finds a driver."""
    if find_spec("pynvml") is None:
        return []
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    return [(pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(pynvml.nvmlDeviceGetCount())]
