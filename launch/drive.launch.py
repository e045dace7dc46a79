# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Launches a source of sensor topics, the encoders, the context monitor, the llm and the visualizer."""

from pathlib import Path

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace

from mmllm_ros.launch_setup import BAD_INPUT, ENCLAVES, Process, kept_path, processes, waits_for_rig

CONFIG = Path(get_package_share_directory("mmllm_ros")) / "config"
MMLLM = Path(get_package_prefix("mmllm_ros")) / "bin" / "mmllm"
TRUTH = ("true", "false")
PARAMS_FILE = (
    "parameters of every node, on top of config/drive.yaml; not rig, model, device, bag, loop and use_sim_time: "
    "these launch arguments override the file, also at their defaults"
)
ARGUMENTS = (
    ("namespace", "", "namespace of every node and topic: one per robot", None),
    ("source", "simulator", "where the sensor topics come from", ("simulator", "bag", "robot")),
    ("use_sim_time", "auto", "time from /clock; auto = true unless source is robot", ("auto", *TRUTH)),
    ("bag", "", "rosbag2 folder or mcap file to replay, with source:=bag", None),
    ("loop", "false", "start the recording again at its end; false = the launch ends with it", TRUTH),
    ("rig", "front", "sensor layout: front, nuscenes, radiate, a YAML file, or auto = of the running robot or recording", None),
    ("model", "", "model folder or hub name, empty = the shipped one", None),
    ("device", "auto", "torch device: auto, cpu, cuda or cuda:N", None),
    ("params_file", str(CONFIG / "drive.yaml"), PARAMS_FILE, None),
    ("composed", "false", "run all nodes in one process, with less memory", TRUTH),
    ("rviz", "false", "start rviz with config/drive.rviz", TRUTH),
    ("mcp", "false", "serve the robot to MCP clients on this machine, see `mmllm mcp --help`", TRUTH),
    ("log_level", "info", "lowest logged severity of these nodes", ("debug", "info", "warn", "error", "fatal")),
)


def start(context: LaunchContext) -> list:
    """The nodes. Bad input ends the launch with one line and a status, before a process is started."""
    arguments = {name: context.launch_configurations[name] for name, *_ in ARGUMENTS}
    return [rig_of_robot(arguments)] if waits_for_rig(arguments) else nodes(arguments)


def nodes(arguments: dict[str, str]) -> list[Node]:
    """The nodes of a known rig."""
    return [node(process) for process in processes(arguments)]


def rig_of_robot(arguments: dict[str, str]) -> ExecuteProcess:
    """Waits until the robot shows all of its rig, then starts the nodes with it."""

    def on_exit(event: ProcessExited, context: LaunchContext) -> list:
        if context.is_shutdown:
            return []
        if event.returncode:
            raise RuntimeError("rig auto cannot be used, the last line says why")
        return nodes({**arguments, "rig": str(kept_path(arguments["namespace"]))})

    command = [str(MMLLM), "rig", "--from-topics", "--wait", arguments["rig"], "--namespace", arguments["namespace"]]
    return ExecuteProcess(cmd=command, name="rig", output="screen", on_exit=on_exit)


def node(process: Process) -> Node:
    """A node that is started again when it dies; its prefix ends it when the launch process is killed."""

    def on_exit(event: ProcessExited, context: LaunchContext) -> list:
        if context.is_shutdown:
            return []
        if event.returncode == BAD_INPUT:
            raise RuntimeError(f"{process.executable} cannot run, its last line says why")
        reason = f"{process.executable} has ended"
        return [LogInfo(msg=reason), Shutdown(reason=reason)] if process.ends and event.returncode == 0 else []

    return Node(
        package="mmllm_ros",
        executable=process.executable,
        exec_name=process.executable,
        parameters=[str(CONFIG / "drive.yaml"), LaunchConfiguration("params_file"), process.parameters],
        arguments=[*process.arguments, "--enclave", f"{ENCLAVES}/{process.executable}"],
        additional_env=process.environment,
        prefix="setpriv --pdeathsig TERM",
        output="screen",
        respawn=True,
        respawn_delay=1.0,
        on_exit=on_exit,
    )


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, default, description, choices in ARGUMENTS
    ]
    namespace = LaunchConfiguration("namespace")
    layout = {"arguments": ["-d", str(CONFIG / "drive.rviz")]}
    rviz = Node(package="rviz2", executable="rviz2", condition=IfCondition(LaunchConfiguration("rviz")), **layout)
    command = [str(MMLLM), "mcp", "--http", "--namespace", namespace]
    mcp = ExecuteProcess(cmd=command, name="mcp", output="screen", condition=IfCondition(LaunchConfiguration("mcp")))
    return LaunchDescription([*arguments, PushRosNamespace(namespace), OpaqueFunction(function=start), rviz, mcp])
