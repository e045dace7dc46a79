# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which processes the launch file starts, and with which parameters, from its arguments. Needs no ROS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .rig import Rig, load_rig
from .startup_check import check_startup

NODES = ("context_monitor", "llm", "visualizer")
"""Nodes of every robot; its encoders are those of its rig."""

SOURCES = {"simulator": "simulator", "bag": "replay"}
"""The node that publishes the sensor topics, by the argument `source`; a robot has its own drivers."""

READY_TIMEOUT = 60.0
"""A recording starts when the nodes are ready, at the latest after this time [s]."""

BAD_INPUT = 2
"""Exit status of a node that cannot run with its parameters: starting it again would not help."""


@dataclass(frozen=True)
class Process:
    """One process: its executable, its parameters, and arguments such as log levels. With `ends` the launch ends with it."""

    executable: str
    parameters: dict[str, Any]
    arguments: tuple[str, ...]
    ends: bool = field(default=False)


def processes(arguments: Mapping[str, str]) -> list[Process]:
    """The processes for the values of the launch arguments. Raises BadInput where one of them could not start."""
    check_startup(*(arguments[name] for name in ("rig", "model", "device", "bag")))
    source, loop = arguments["source"], arguments["loop"] == "true"
    sim_time = {"true": True, "false": False, "auto": source != "robot"}[arguments["use_sim_time"]]
    common = {name: arguments[name] for name in ("rig", "model", "device", "bag")}
    started = [SOURCES[source]] if source in SOURCES else []
    rig = load_rig(arguments["rig"])
    nodes = [*started, *node_names(rig)]
    encoders = [f"{mount.modality}_encoder" for mount in rig.signals]
    if arguments["composed"] == "true":
        levels = log_levels(arguments["namespace"], [*nodes, *encoders, "drive"], arguments["log_level"])
        drive = {"source": source, "duration": 0.0, "interval": 0.0, "loop": loop, "clock": sim_time, "use_sim_time": sim_time}
        return [Process("drive", common | drive, levels, ends=True)]
    # The source publishes /clock; the other nodes use it.
    feed = {"clock": sim_time, "loop": loop, "wait": READY_TIMEOUT, "use_sim_time": False}
    settings = {name: feed if name in started else {"use_sim_time": sim_time} for name in nodes}
    logged = {name: encoders if name == "universal_encoder" else [name] for name in nodes}
    return [
        Process(name, common | extra, log_levels(arguments["namespace"], logged[name], arguments["log_level"]), name in started)
        for name, extra in settings.items()
    ]


def node_names(rig: Rig) -> list[str]:
    """The executables of a robot besides the source of its data."""
    encoders = {
        "camera_encoder": rig.cameras,
        "lidar_encoder": rig.lidar,
        "imu_encoder": rig.imu,
        "object_encoder": rig.objects,
        "universal_encoder": rig.signals,
    }
    return [*(name for name, sensors in encoders.items() if sensors), *NODES]


def log_levels(namespace: str, names: list[str], level: str) -> tuple[str, ...]:
    """Arguments that set the level of these nodes' loggers only: at level debug ROS itself logs each wait."""
    prefix = "".join(f"{part}." for part in namespace.split("/") if part)
    return ("--ros-args", *(word for name in names for word in ("--log-level", f"{prefix}{name}:={level}")))
