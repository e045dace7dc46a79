# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The drive: a source of sensor topics, encoders, monitor, llm, visualizer and drive client in one process."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter

from ..config import DriveConfig
from ..launch_setup import READY_TIMEOUT
from ..rig import load_rig
from .camera_encoder import CameraEncoderNode
from .clients.drive_client import DriveClient
from .context_monitor import ContextMonitor
from .imu_encoder import ImuEncoderNode
from .lidar_encoder import LidarEncoderNode
from .llm import Llm
from .object_encoder import ObjectEncoderNode
from .replay import Replay
from .ros_support.process import spin
from .simulator import Simulator
from .visualization.rerun_recorder import RerunRecorder
from .visualizer import Visualizer

ENCODERS = (CameraEncoderNode, LidarEncoderNode, ImuEncoderNode, ObjectEncoderNode)


def make_nodes(**client_arguments: Any) -> list[Node]:
    """All nodes of a drive, for one executor: they share torch and the DDS participant. Raises BadInput.

    The drive client declares the parameters; values that differ from the defaults are passed to every node.
    """
    nodes: list[Node] = []
    try:
        client = DriveClient(**client_arguments)
        nodes.append(client)
        config = client.config
        changed = {
            field.name: getattr(config, field.name)
            for field in dataclasses.fields(config)
            if getattr(config, field.name) != field.default
        }
        rig, namespace = load_rig(config.rig), client_arguments.get("namespace")

        def add(kind: type[Node], settings: dict[str, Any], **arguments: Any) -> Node:
            parameters = _parameters({**changed, **settings})
            nodes.append(kind(namespace=namespace, parameter_overrides=parameters, **arguments))
            return nodes[-1]

        # The source publishes /clock; the other nodes use it.
        if config.source == "simulator":
            simulator = add(Simulator, {"seed": config.seed, "duration": 0.0, "use_sim_time": False})
            client.truth = lambda: simulator.truth
        elif config.source == "bag":
            add(Replay, {"use_sim_time": False, "wait": READY_TIMEOUT}, on_end=client.end)
        clock = client.get_parameter("use_sim_time").value or (config.source != "robot" and config.clock)
        encoders = [encoder for encoder in ENCODERS if encoder.sensors(rig)]
        if rig.signals:
            # Imported here, because it imports transformers' vision models, which the other encoders do not need.
            from .universal_encoder import signal_encoders

            encoders += signal_encoders(rig)
        for kind in (*encoders, ContextMonitor, Llm, Visualizer):
            add(kind, {"use_sim_time": clock})
        if config.rerun:
            client.on_answer = add(RerunRecorder, {"use_sim_time": clock}, path=config.rerun, rig=rig).add_truth
    except BaseException:
        for node in reversed(nodes):
            node.destroy_node()
        raise
    return nodes


def _parameters(settings: dict[str, Any]) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in settings.items()]


def run(config: DriveConfig, namespace: str | None = None, use_sim_time: bool = False) -> int:
    """`mmllm drive`: drive as configured. Returns the exit status, 1 where no question was answered; stderr has the reason."""
    parameters = _parameters({**dataclasses.asdict(config), "use_sim_time": use_sim_time})
    return _drive([], parameter_overrides=parameters, namespace=namespace)


def main(args: Sequence[str] | None = None) -> int:
    """`ros2 run mmllm_ros drive --ros-args -p source:=bag -p bag:=FOLDER`."""
    return _drive(args)


def _drive(args: Sequence[str] | None, **client_arguments: Any) -> int:
    nodes: list[Node] = []

    def make() -> list[Node]:
        nodes.extend(make_nodes(**client_arguments))
        return nodes

    status = spin(make, args)
    if status or not nodes or not nodes[0].failure:
        return status
    print(nodes[0].failure, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
