# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which processes the launch file starts, and with which parameters, from its arguments. Needs no ROS."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .resources import cache_folder, shared_folder
from .rig import AUTO, Rig, load_rig, rig_overrides
from .startup_check import check_startup

NODES = ("context_monitor", "llm", "visualizer")
"""Nodes of every robot; its encoders are those of its rig."""

SOURCES = {"simulator": "simulator", "bag": "replay"}
"""The node that publishes the sensor topics, by the argument `source`; a robot has its own drivers."""

ENCLAVES = "/mmllm_ros"
"""Path of the SROS 2 enclaves, one for each executable (config/sros2); without ROS_SECURITY_ENABLE they have no effect."""

READY_TIMEOUT = 60.0
"""A recording starts when the nodes are ready, at the latest after this time [s]."""

IMAGE_PUBLISHERS = (*SOURCES.values(), "visualizer", "drive")
"""What publishes images needs Fast DDS's larger shared memory, 67 MB a process; receivers read that of the sender."""

DDS_PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
DDS_SETTINGS = (DDS_PROFILE, "FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")
"""Environment variables of Fast DDS: where the user has set one, no profile is added."""

BAD_INPUT = 2
"""Exit status of a node that cannot run with its parameters: starting it again would not help."""


@dataclass(frozen=True)
class Process:
    """One process: its executable, its parameters, and arguments such as log levels. With `ends` the launch ends with it."""

    executable: str
    parameters: dict[str, Any]
    arguments: tuple[str, ...]
    ends: bool = field(default=False)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that are added to the environment."""
        return dds_profile() if self.executable in IMAGE_PUBLISHERS else {}


def dds_profile() -> dict[str, str]:
    """The variable with which raw images arrive in other processes; empty where the user has set up Fast DDS."""
    if any(name in os.environ for name in DDS_SETTINGS):
        return {}
    return {DDS_PROFILE: str(shared_folder() / "config" / "fastdds.xml")}


def processes(arguments: Mapping[str, str]) -> list[Process]:
    """The processes for the values of the launch arguments. Raises BadInput where one of them could not start."""
    check_startup(*(arguments[name] for name in ("rig", "model", "device", "bag", "source")))
    source, loop = arguments["source"], arguments["loop"] == "true"
    if source == "bag" and rig_overrides(arguments["rig"]) is not None:
        # Imported here, because it imports rosbags.
        from .io.robot_rig import rig_of_recording

        arguments = {**arguments, "rig": rig_of_recording(arguments["rig"], arguments["bag"])}
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


def waits_for_rig(arguments: Mapping[str, str]) -> bool:
    """Whether the rig is that of the running robot, so that its nodes are known only when its topics are. Raises BadInput."""
    return arguments["source"] == "robot" and rig_overrides(arguments["rig"]) is not None


def kept_path(namespace: str) -> Path:
    """Where the rig of the running robot in `namespace` is written, for the nodes of this machine and ROS domain."""
    return cache_folder() / "rigs" / os.environ.get("ROS_DOMAIN_ID", "0") / namespace.strip("/") / f"{AUTO}.yaml"


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
