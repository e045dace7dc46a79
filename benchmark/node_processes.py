# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For the other benchmarks: processes of nodes in a ROS domain of their own, and their CPU."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rclpy
from ament_index_python.packages import get_package_prefix
from domain_coordinator import domain_id

from mmllm_ros.launch_setup import node_names
from mmllm_ros.rig import load_rig

END_TIMEOUT = 20.0


@contextlib.contextmanager
def own_domain(discovery_range: str = "LOCALHOST") -> Iterator[None]:
    """rclpy in a free ROS domain of this machine, also for processes started meanwhile: other robots are not heard."""
    with domain_id() as number:
        os.environ |= {"ROS_DOMAIN_ID": str(number), "ROS_AUTOMATIC_DISCOVERY_RANGE": discovery_range}
        rclpy.init(args=[])
        try:
            yield
        finally:
            rclpy.try_shutdown()


def node_command(executable: str, log_level: str = "error", **parameters: Any) -> list[str]:
    """The command line of a node: its executable, as `ros2 run` and the launch file start it."""
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={_yaml(value)}")]
    installed = Path(get_package_prefix("mmllm_ros"), "lib", "mmllm_ros", executable)
    return [str(installed), "--ros-args", *words, "--log-level", log_level]


def robot_commands(rig: str, model: str, composed: bool = False) -> dict[str, list[str]]:
    """The command lines of a robot in the simulator by executable, in real time with stamps of the system clock."""
    common = {"rig": rig, "model": model, "device": "cpu"}
    if composed:
        return {"drive": node_command("drive", **common, source="simulator", clock=False, duration=0.0, interval=0.0)}
    simulator = node_command("simulator", **common, clock=False, duration=0.0)
    return {"simulator": simulator, **{name: node_command(name, **common) for name in node_names(load_rig(rig))}}


@contextlib.contextmanager
def running(commands: Mapping[str, Sequence[str]], **options: Any) -> Iterator[dict[str, psutil.Popen]]:
    """The processes by name, with Popen `options`; ended as by Ctrl-C.

    Each has a session of its own: a Ctrl-C here does not reach it twice, and Linux shares the cores out by session.
    """
    processes = {name: psutil.Popen(command, start_new_session=True, **options) for name, command in commands.items()}
    try:
        yield processes
    finally:
        for process in processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)
        for process in processes.values():
            try:
                process.wait(END_TIMEOUT)
            except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
                process.kill()
                process.wait()


def with_children(process: psutil.Process) -> list[psutil.Process]:
    """A process and those that it has started: the llm node runs in a child."""
    return [process, *process.children(recursive=True)]


class CpuMeter:
    """CPU time of processes, with that of their children, from the construction on."""

    def __init__(self, *processes: psutil.Process) -> None:
        self._processes = [member for process in processes for member in with_children(process)]
        self._started, self._used = time.monotonic(), self._seconds()

    @property
    def cores(self) -> float:
        """CPU seconds per second."""
        return (self._seconds() - self._used) / (time.monotonic() - self._started)

    def _seconds(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds, empty without a measurement."""
    return {f"p{p}": float(np.percentile(seconds, p)) * 1000 for p in (50, 95, 99)} if len(seconds) else {}


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
